package graph

import (
	"context"
	"sync"

	"handoff/graph/model"
	"handoff/internal/handoff"
	"handoff/internal/hours"
)

func (r *Resolver) agent(ctx context.Context, a handoff.Agent) *model.Agent {
	return &model.Agent{
		ID:           a.ID,
		Name:         a.Name,
		CreatedAt:    a.CreatedAt,
		UpdatedAt:    a.UpdatedAt,
		Settings:     settings(a.Settings),
		ServiceHours: &model.ServiceHours{TimeZone: a.Settings.TimeZone, Schedule: sync.OnceValues(a.Settings.Schedule)},
		Connections: sync.OnceValues(func() ([]handoff.Connection, error) {
			return r.service.Connections(ctx, a.ID)
		}),
	}
}

// ready says whether a handoff could begin now, service hours left aside.
func ready(enabled bool, connections []handoff.Connection) bool {
	if !enabled {
		return false
	}
	for _, c := range connections {
		if c.Active && c.Status == handoff.StatusAvailable {
			return true
		}
	}
	return false
}

// serviceStatus is that of the active connection for Users outside the desk.
func serviceStatus(connections []handoff.Connection) handoff.ServiceStatus {
	for _, c := range connections {
		if c.Active && c.Mode == handoff.ModeExternalToDesk {
			return c.Status
		}
	}
	return handoff.StatusNotConfigured
}

func settings(s handoff.Settings) *model.HandoffSettings {
	return &model.HandoffSettings{
		Enabled:               s.Enabled,
		Trigger:               s.Trigger,
		WaitTimeoutSeconds:    int(s.WaitTimeout),
		WaitAction:            model.WaitAction(s.WaitAction),
		SessionTimeoutSeconds: int(s.SessionTimeout),
		EmailTimeoutSeconds:   int(s.EmailTimeout),
		TimeZone:              s.TimeZone,
		Hours:                 each(s.Hours, hoursRule),
		OffHoursReply:         s.OffHoursReply,
		ContextRounds:         s.ContextRounds,
		EmailPolicy:           model.EmailPolicy(s.EmailPolicy),
		FallbackEmail:         s.FallbackEmail,
		Language:              s.Language,
		Texts: each(s.Texts, func(t handoff.TextOverride) model.NoticeText {
			return model.NoticeText{Language: t.Language, Notice: model.Notice(t.Notice), Text: t.Text}
		}),
	}
}

func hoursRule(r hours.Rule) model.HoursRule {
	return model.HoursRule{
		Kind:     model.HoursRuleKind(r.Kind),
		Weekdays: each(r.Weekdays, weekday),
		Date:     model.Optional(r.Date),
		Start:    r.Start,
		End:      r.End,
	}
}

func hoursWindow(w hours.Window) model.HoursWindow {
	return model.HoursWindow{Start: w.From, End: w.To, StartsAt: w.Start, EndsAt: w.End}
}

func agentKey(k handoff.AgentKey) model.AgentKey {
	return model.AgentKey{ID: k.ID, Name: k.Name, Hint: k.Hint, CreatedAt: k.CreatedAt, RevokedAt: k.RevokedAt}
}

// standardTexts lists the built-in texts, language by language.
func standardTexts() []model.NoticeText {
	texts := make([]model.NoticeText, 0, len(handoff.StandardLanguages)*len(handoff.Notices))
	for _, language := range handoff.StandardLanguages {
		for _, n := range handoff.Notices {
			texts = append(texts, model.NoticeText{
				Language: language, Notice: model.Notice(n), Text: handoff.StandardText(n, language),
			})
		}
	}
	return texts
}
