package model_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/graph/model"
	"handoff/internal/handoff"
	"handoff/internal/hours"
)

// The values of the schema's enums are converted by their text, so they must be
// those of the business.
func TestEnumsAreThoseOfTheBusiness(t *testing.T) {
	t.Parallel()
	same(t, model.AllAuthor, handoff.AuthorUser, handoff.AuthorAgent, handoff.AuthorOperator, handoff.AuthorSystem)
	same(t, model.AllChannel, handoff.Channels...)
	same(t, model.AllCloseReason, handoff.CloseReasons...)
	same(t, model.AllControl, handoff.ControlAgent, handoff.ControlHandoff)
	same(t, model.AllDeadlineKind, handoff.DeadlineEmail, handoff.DeadlineWait, handoff.DeadlineAnswer, handoff.DeadlineSession)
	same(t, model.AllDeliveryKind, handoff.DeliverOpen, handoff.DeliverMessage, handoff.DeliverClose, handoff.DeliverSay)
	same(t, model.AllDeliveryStatus, handoff.DeliveryPending, handoff.DeliveryFailed, handoff.DeliveryDead)
	same(t, model.AllEmailPolicy, handoff.EmailAsk, handoff.EmailOptional, handoff.EmailNever)
	same(t, model.AllHandoffOutcome, handoff.Outcomes...)
	same(t, model.AllHandoffState, handoff.States...)
	same(t, model.AllHoursRuleKind, hours.Weekly, hours.Dated, hours.Exclusion)
	same(t, model.AllMode, handoff.ModeExternalToDesk, handoff.ModeDeskToDesk)
	same(t, model.AllNotice, handoff.Notices...)
	same(t, model.AllServiceStatus, handoff.StatusNotConfigured, handoff.StatusAvailable, handoff.StatusUnavailable)
	same(t, model.AllSignalKind, handoff.SignalTyping, handoff.SignalRead, handoff.SignalQueued)
	same(t, model.AllUnknownOutcome, handoff.OutcomeIdempotent, handoff.OutcomeReadBack, handoff.OutcomeRepeatMarked)
	same(t, model.AllWaitAction, handoff.WaitAsk, handoff.WaitEnd)
}

func same[S, B ~string](t *testing.T, schema []S, business ...B) {
	t.Helper()
	want := make([]S, len(business))
	for i, b := range business {
		want[i] = S(b)
	}
	require.ElementsMatch(t, want, schema)
}
