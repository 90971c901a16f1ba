package graph

import (
	"strings"

	"handoff/graph/model"
	"handoff/internal/handoff"
)

func deskKind(d handoff.DeskDescription) model.DeskKind {
	return model.DeskKind{
		Kind:    d.Kind,
		Title:   d.Title,
		Modes:   modes(d.Modes),
		Channel: model.Optional(model.Channel(d.Channel)),
		Fields: each(d.Fields, func(f handoff.CredentialField) model.CredentialField {
			return credentialField(f, d.Modes)
		}),
		Steps: d.Steps,
		Capabilities: &model.DeskCapabilities{
			MaxTextLength:       model.Optional(d.MaxTextRunes),
			AttachmentsToDesk:   d.Attachments.ToDesk,
			AttachmentsFromDesk: d.Attachments.FromDesk,
			History:             d.History,
			Notes:               d.Notes,
			Typing:              d.Typing,
			ReadReceipts:        d.ReadReceipts,
			EndsByDesk:          d.EndsByDesk,
			UnknownOutcome:      model.UnknownOutcome(d.Unknown),
		},
	}
}

func modes(list []handoff.Mode) []model.Mode {
	return each(list, func(m handoff.Mode) model.Mode { return model.Mode(m) })
}

// credentialField gives the field of a desk with these modes.
func credentialField(f handoff.CredentialField, of []handoff.Mode) model.CredentialField {
	if len(f.Modes) > 0 {
		of = f.Modes
	}
	maxLength := f.MaxRunes
	if maxLength == 0 {
		maxLength = handoff.DefaultFieldRunes
	}
	return model.CredentialField{
		Name:      f.Name,
		Label:     f.Label,
		Hint:      f.Hint,
		Required:  f.Required,
		Secret:    f.Secret,
		Pattern:   model.Optional(f.Pattern),
		Options:   f.Options,
		Default:   model.Optional(f.Default),
		MaxLength: maxLength,
		Modes:     modes(of),
	}
}

// connection never touches what is sealed: secrets cannot come out of the API.
func (r *Resolver) connection(c handoff.Connection) *model.DeskConnection {
	description, err := r.service.DeskKind(c.Kind)
	if err != nil {
		// This program no longer has the desk; the connection can still be seen and removed.
		description = handoff.DeskDescription{Kind: c.Kind, Title: c.Kind, Unknown: handoff.OutcomeRepeatMarked}
	}
	kind := deskKind(description)
	fields := []model.FieldValue{}
	for _, f := range description.Fields {
		if value, ok := c.Fields[f.Name]; ok && !f.Secret {
			fields = append(fields, model.FieldValue{Name: f.Name, Value: value})
		}
	}
	return &model.DeskConnection{
		ID:            c.ID,
		AgentID:       c.AgentID,
		Kind:          &kind,
		Mode:          model.Mode(c.Mode),
		Name:          c.Name,
		Active:        c.Active,
		Fields:        fields,
		SecretsSet:    c.SetSecrets,
		Status:        model.ServiceStatus(c.Status),
		CheckedAt:     model.Optional(c.CheckedAt),
		LastError:     model.Optional(c.LastError),
		LastErrorCode: model.Optional(string(c.LastErrorKind)),
		LastErrorAt:   model.Optional(c.LastErrorAt),
		ReceiveAddresses: each(description.Receive, func(a handoff.ReceiveAddress) model.ReceiveAddress {
			return model.ReceiveAddress{Label: a.Label, URL: r.receiveURL(a.Path, c.ReceiveToken)}
		}),
		CreatedAt: c.CreatedAt,
		UpdatedAt: c.UpdatedAt,
	}
}

func (r *Resolver) receiveURL(path, token string) string {
	path = strings.ReplaceAll(path, "{token}", token)
	return strings.TrimRight(r.publicURL, "/") + "/" + strings.TrimLeft(path, "/")
}

func delivery(d handoff.Delivery) *model.Delivery {
	m := &model.Delivery{
		ID:               d.ID,
		Kind:             model.DeliveryKind(d.Kind),
		Status:           model.DeliveryStatus(d.Status),
		HandoffID:        model.Optional(d.HandoffID),
		ConversationID:   d.ConversationID,
		DeskConnectionID: d.ConnectionID,
		Attempts:         d.Attempts,
		LastError:        model.Optional(d.LastError),
		LastErrorCode:    model.Optional(string(d.LastErrorKind)),
		LastErrorAt:      model.Optional(d.LastErrorAt),
		CreatedAt:        d.CreatedAt,
	}
	if d.Kind == handoff.DeliverMessage || d.Kind == handoff.DeliverSay {
		m.MessageSeq = &d.EventSeq
	}
	return m
}
