package handoff

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"time"

	"handoff/internal/fault"
	"handoff/internal/hours"
)

// Request asks for a human.
type Request struct {
	ConversationID string
	// Epoch is the control under which the Agent asks; nil when the User asks. A
	// late tool call of a turn that has passed is refused with StaleControl.
	Epoch          *int64
	Note           string // for the Operator only
	Summary        string // for the Operator only
	Email          string // the User's, when the caller knows it; "" = use what is known
	IdempotencyKey string
	// Wait is how long to wait for the desk's answer; 0 = do not wait.
	Wait time.Duration
}

// MaxRequestWait is the longest wait for the desk's answer.
const MaxRequestWait = 30 * time.Second

func (r *Request) validate() error {
	r.Note, r.Summary = strings.TrimSpace(r.Note), strings.TrimSpace(r.Summary)
	if err := validText("note", r.Note, MaxNoteRunes); err != nil {
		return err
	}
	if err := validText("summary", r.Summary, MaxNoteRunes); err != nil {
		return err
	}
	if r.Email != "" {
		address, err := ParseEmail("email", r.Email)
		if err != nil {
			return err
		}
		r.Email = address
	}
	if r.Wait < 0 || r.Wait > MaxRequestWait {
		return fault.Invalid("waitSeconds", "must be from 0 to %d", int(MaxRequestWait/time.Second))
	}
	return validKey(r.IdempotencyKey)
}

// RequestHandoff asks for a human. Whatever the answer, it is data; errors are for
// bad input and for what could not be planned for.
func (s *Service) RequestHandoff(ctx context.Context, r Request) (RequestResult, error) {
	if err := r.validate(); err != nil {
		return RequestResult{}, err
	}
	conversation, err := s.store.Conversation(ctx, r.ConversationID)
	if err != nil {
		return RequestResult{}, err
	}
	once, made, err := s.once(ctx, r.ConversationID+"/requestHandoff", r.IdempotencyKey)
	if err != nil {
		return RequestResult{}, err
	}
	if made != "" {
		return s.await(ctx, r, made)
	}
	// Settings and connections decide, so they are read afresh, not from memory.
	agent, err := s.store.Agent(ctx, conversation.AgentID)
	if err != nil {
		return RequestResult{}, err
	}
	s.remember(agent)
	connections, err := s.store.Connections(ctx, agent.ID)
	if err != nil {
		return RequestResult{}, err
	}
	schedule, err := agent.Settings.Schedule()
	if err != nil {
		return RequestResult{}, err
	}
	var (
		result RequestResult
		choice connectionChoice
	)
	key := eventKey("request", r.IdempotencyKey)
	done, err := s.changeWith(ctx, conversation.ID, key, &agent.Settings, func(t *turn) error {
		result, choice = RequestResult{}, connectionChoice{}
		if t.handoff != nil {
			h := *t.handoff
			result = RequestResult{Outcome: OutcomeAlreadyActive, Handoff: &h}
			return nil
		}
		if r.Epoch != nil {
			if err := holdsControl(&t.conv, *r.Epoch); err != nil {
				return err
			}
		}
		choice = s.choose(&agent.Settings, connections, &t.conv)
		if choice.outcome != "" {
			result = RequestResult{Outcome: choice.outcome, Detail: choice.detail}
			return nil
		}
		if !schedule.OpenAt(t.now) {
			result = outOfService(schedule, t.now, agent.Settings.OffHoursText(t.conv.Language))
			t.sayText(NoticeOutOfHours, result.Text, key)
			return nil
		}
		if choice.connection.Status != StatusAvailable {
			result = RequestResult{Outcome: OutcomeNotReady, Detail: "the desk is " + string(choice.connection.Status) + "; verify the connection"}
			return nil
		}
		if r.Email != "" {
			t.conv.User.Email = r.Email
		}
		h := s.newHandoff(t, &agent.Settings, choice, r)
		on := Requested
		if h.Email == "" && h.EmailPolicy != EmailNever && t.conv.Channel.AsksEmail() {
			on = EmailMissing
		}
		if err := t.open(h, on); err != nil {
			return err
		}
		if once != nil {
			once.Result = t.handoff.ID
			t.change.Once = once
		}
		result.Outcome = OutcomeRequesting
		if t.handoff.State == StateCollectingEmail {
			result.Outcome = OutcomeEmailRequired
			result.Text = t.change.Events[len(t.change.Events)-1].Text
		}
		return nil
	})
	// The same key, used twice at once: the other call has made it.
	if once != nil && (fault.Is(err, fault.Conflict) || result.Outcome == OutcomeAlreadyActive) {
		if made, lookup := s.store.Once(ctx, once.Scope, once.Key); lookup == nil && made != "" {
			return s.await(ctx, r, made)
		}
	}
	if err != nil {
		return RequestResult{}, err
	}
	if done.Duplicate { // the same request was refused before, and the User has read why
		return outOfService(schedule, s.now(), done.Events[0].Text), nil
	}
	if result.Outcome != OutcomeRequesting && result.Outcome != OutcomeEmailRequired {
		s.counters.HandoffRequested(choice.connection.Kind, result.Outcome)
		return result, nil
	}
	if err := s.endIfWithdrawn(ctx, done.Handoff, &agent.Settings); err != nil {
		return RequestResult{}, err
	}
	text := result.Text
	result, err = s.await(ctx, r, done.Handoff.ID)
	if err == nil {
		s.counters.HandoffRequested(choice.connection.Kind, result.Outcome)
	}
	result.Text = text
	return result, err
}

// endIfWithdrawn ends a Handoff that was requested while handoff was switched off,
// or its desk disconnected. Those end what is open; a request that was decided
// before and committed after them would be answered by nobody.
func (s *Service) endIfWithdrawn(ctx context.Context, h *Handoff, settings *Settings) error {
	agent, err := s.store.Agent(ctx, h.AgentID)
	if err == nil && agent.Settings.Enabled {
		if _, err = s.store.Connection(ctx, h.ConnectionID); err == nil {
			return nil
		}
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	_, err = s.changeWith(ctx, h.ConversationID, "", settings, func(t *turn) error {
		if t.handoff == nil || t.handoff.ID != h.ID {
			return nil
		}
		return t.apply(Disabled)
	})
	return err
}

func outOfService(schedule *hours.Schedule, now time.Time, text string) RequestResult {
	opening, _ := schedule.NextOpening(now)
	return RequestResult{Outcome: OutcomeOutOfService, Text: text, NextOpening: opening}
}

type connectionChoice struct {
	connection  Connection
	description DeskDescription
	outcome     Outcome // "" = a connection was found
	detail      string
}

// choose finds the active connection that serves the Conversation: the desk's own
// messenger is served by the connection that it came through, in DESK_TO_DESK,
// everything else by the external one.
func (s *Service) choose(settings *Settings, connections []Connection, conversation *Conversation) connectionChoice {
	if !settings.Enabled {
		return connectionChoice{outcome: OutcomeNotReady, detail: "handoff is switched off for this agent"}
	}
	mode := ModeExternalToDesk
	if conversation.InMessenger() {
		mode = ModeDeskToDesk
	}
	other := false
	for _, c := range connections {
		if !c.Active {
			continue
		}
		if c.Mode != mode || (mode == ModeDeskToDesk && c.ID != conversation.ConnectionID) {
			other = true
			continue
		}
		d, ok := s.desks.Describe(c.Kind)
		if !ok {
			continue
		}
		return connectionChoice{connection: c, description: d}
	}
	if other {
		return connectionChoice{outcome: OutcomeWrongChannel, detail: "no active desk connection serves the channel " + string(conversation.Channel)}
	}
	return connectionChoice{outcome: OutcomeNotReady, detail: "no desk connection is active"}
}

func (s *Service) newHandoff(t *turn, settings *Settings, choice connectionChoice, r Request) Handoff {
	ref := newDeskRef()
	if t.conv.InMessenger() {
		ref = t.conv.DeskRef // the User is in the session already
	}
	h := Handoff{
		ID: NewID(HandoffPrefix), ConversationID: t.conv.ID, AgentID: t.conv.AgentID,
		ConnectionID: choice.connection.ID, DeskKind: choice.connection.Kind, Mode: choice.connection.Mode,
		DeskRef: ref, Email: t.conv.User.Email, Note: r.Note, Summary: r.Summary,
		RequestSeq: t.before.Conversation.LastSeq, ContextRounds: settings.ContextRounds,
		EmailPolicy: settings.EmailPolicy, WaitTimeout: settings.WaitTimeout, SessionTimeout: settings.SessionTimeout,
		AskToWait:    settings.WaitAction == WaitAsk && t.conv.Channel.AsksToWait(),
		DeskReadsLog: choice.description.ReadsLog,
		Language:     t.conv.Language, RequestedAt: t.now, UpdatedAt: t.now,
	}
	if every := choice.description.CatchUp; every > 0 {
		h.CheckAt = t.now.Add(every)
	}
	return h
}

// newDeskRef makes the 24 hexadecimal digits that desks without ids of their own
// know a session by. Receivers built for GPTBots have only ever seen this shape.
func newDeskRef() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24: the process ends instead
	return hex.EncodeToString(b[:])
}

// await waits for the desk's answer as long as the caller asked for and says how
// the Handoff stands then.
func (s *Service) await(ctx context.Context, r Request, handoffID string) (RequestResult, error) {
	h, err := s.store.Handoff(ctx, handoffID)
	if err != nil {
		return RequestResult{}, err
	}
	if h.State == StateRequesting && r.Wait > 0 {
		waiting, cancel := context.WithTimeout(ctx, r.Wait)
		err := s.feed.Follow(waiting, h.ConversationID, h.RequestSeq, func(e Event) bool {
			return e.HandoffID != h.ID || e.Kind != EventHandoffChanged ||
				e.State == StateRequesting || e.State == StateCollectingEmail
		})
		cancel()
		if err != nil && ctx.Err() != nil {
			return RequestResult{}, fault.As(ctx.Err())
		}
		if h, err = s.store.Handoff(ctx, handoffID); err != nil {
			return RequestResult{}, err
		}
	}
	result := RequestResult{Outcome: outcomeOf(&h), Handoff: &h}
	if notice := toldBy(result.Outcome); notice != "" {
		agent, err := s.agent(ctx, h.AgentID)
		if err != nil {
			return RequestResult{}, err
		}
		result.Text = agent.Settings.Text(notice, h.Language)
	}
	return result, nil
}

// toldBy is what the User has read when a request stands like this; "" = nothing
// that the answer repeats.
func toldBy(o Outcome) Notice {
	switch o {
	case OutcomeConnecting:
		return NoticeConnecting
	case OutcomeTransferFailed:
		return NoticeBusy
	default:
		return ""
	}
}

// outcomeOf says how a request stands by the state of its Handoff.
func outcomeOf(h *Handoff) Outcome {
	switch h.State {
	case StateCollectingEmail:
		return OutcomeEmailRequired
	case StateRequesting:
		return OutcomeRequesting
	case StateWaiting, StateWaitExpired, StateActive:
		return OutcomeConnecting
	case StateNone: // never stored
	case StateClosed:
		if h.Reason == ReasonTransferFailed {
			return OutcomeTransferFailed
		}
	}
	return OutcomeEnded
}
