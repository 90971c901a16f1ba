package handoff_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

func TestFirstMessageConnects(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.reach(handoff.StateWaiting)
	before := b.lastSeq()
	b.clock.advance(9 * time.Second)
	b.operatorWrites("Hello")
	require.Equal(t, []string{"ACTIVE", "SYSTEM CONNECTED", "OPERATOR Hello"}, b.told(before))
	for _, e := range b.log()[before:] {
		if e.Author != handoff.AuthorSystem {
			require.Equal(t, "Olga", e.OperatorName, short(e))
		}
	}
	h := b.newest()
	require.Equal(t, "Olga", h.Operator)
	require.Equal(t, b.clock.now(), h.ConnectedAt)
	require.Equal(t, start, h.AcceptedAt)

	b.clock.advance(9 * time.Second)
	require.NoError(t, b.deskSays(handoff.DeskEvent{Kind: handoff.DeskMessage, Text: "and more"}))
	last := b.log()[b.lastSeq()-1]
	require.Equal(t, "Olga", last.OperatorName, "a message without a name comes from the same Operator")
	require.Equal(t, h.ConnectedAt, b.newest().ConnectedAt)
	require.Equal(t, 2, b.counters.accepted[handoff.AuthorOperator])

	require.NoError(t, b.deskSays(handoff.DeskEvent{Kind: handoff.DeskMessage, Text: "taking over", OperatorName: "Piet"}))
	require.Equal(t, "Piet", b.newest().Operator)
	changes := b.feed.seen(h.ID)
	require.Equal(t, "Piet", changes[len(changes)-1].Operator, "consoles are told who answers")
}

func TestJoiningConnectsNobody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.reach(handoff.StateWaiting)
	log := b.log()
	told := len(b.feed.seen(h.ID))
	require.NoError(t, b.deskSays(handoff.DeskEvent{Kind: handoff.DeskJoined, OperatorName: "Olga"}))
	require.Equal(t, log, b.log())
	after := b.newest()
	require.Equal(t, "Olga", after.Operator)
	require.Equal(t, handoff.StateWaiting, after.State)
	require.Equal(t, h.DeadlineAt, after.DeadlineAt)
	require.Len(t, b.feed.seen(h.ID), told+1)

	require.NoError(t, b.deskSays(handoff.DeskEvent{Kind: handoff.DeskJoined}))
	require.Equal(t, after, b.newest(), "a name that is not told is not forgotten")

	b.operatorEnds()
	require.NoError(t, b.deskSays(handoff.DeskEvent{Kind: handoff.DeskJoined, OperatorName: "Late"}))
	require.Equal(t, "Olga", b.newest().Operator)
}

func TestSignalsOfTheDesk(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.reach(handoff.StateActive)
	log := b.log()
	require.NoError(t, b.deskSays(handoff.DeskEvent{Kind: handoff.DeskTyping}, handoff.DeskEvent{Kind: handoff.DeskRead},
		handoff.DeskEvent{Kind: handoff.DeskQueued, QueuePlace: 3}))
	require.Equal(t, log, b.log())
	require.Equal(t, []handoff.Signal{
		{ConversationID: b.conv, Author: handoff.AuthorOperator, Kind: handoff.SignalTyping, At: start},
		{ConversationID: b.conv, Author: handoff.AuthorOperator, Kind: handoff.SignalRead, At: start},
		{ConversationID: b.conv, Author: handoff.AuthorOperator, Kind: handoff.SignalQueued, At: start, QueuePlace: 3},
	}, b.feed.signals)
}

func TestRepeatedDeskEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.reach(handoff.StateWaiting)
	message := handoff.DeskEvent{Kind: handoff.DeskMessage, ID: "m1", Text: "Hello"}
	require.NoError(t, b.deskSays(message))
	b.userWrites("hi")
	h, log := b.newest(), b.log()
	b.clock.advance(time.Second)
	require.NoError(t, b.deskSays(message))
	require.Equal(t, log, b.log())
	require.Equal(t, h, b.newest(), "a repeat arms no deadline")
	require.Equal(t, 1, b.counters.accepted[handoff.AuthorOperator])

	require.NoError(t, b.deskSays(handoff.DeskEvent{Kind: handoff.DeskMessage, ID: "m2", Text: "Hello"}))
	require.NoError(t, b.deskSays(handoff.DeskEvent{Kind: handoff.DeskMessage, Text: "Hello"}))
	require.NoError(t, b.deskSays(handoff.DeskEvent{Kind: handoff.DeskMessage, Text: "Hello"}))
	require.Len(t, b.log(), len(log)+3, "without an id nothing tells a repeat from saying it again")

	ended := handoff.DeskEvent{Kind: handoff.DeskEnded, ID: "e1"}
	require.NoError(t, b.deskSays(ended))
	log = b.log()
	require.NoError(t, b.deskSays(ended))
	require.NoError(t, b.deskSays(message), "a repeat is one even after the end")
	require.Equal(t, log, b.log())
}

// Many desks number the messages of each session from one.
func TestDeskEventIDsBelongToTheirSession(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.reach(handoff.StateWaiting)
	first := handoff.DeskEvent{Kind: handoff.DeskMessage, ID: "1", Text: "first session"}
	require.NoError(t, b.deskSays(first))
	b.operatorEnds()
	b.reach(handoff.StateWaiting)
	before := b.lastSeq()
	require.NoError(t, b.deskSays(handoff.DeskEvent{Kind: handoff.DeskMessage, ID: "1", Text: "second session"}))
	require.Equal(t, []string{"ACTIVE", "SYSTEM CONNECTED", "OPERATOR second session"}, b.told(before))
}

func TestDeskEventsAfterTheEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.reach(handoff.StateClosed)
	log := b.log()
	requireNotAllowed(t, b.deskSays(handoff.DeskEvent{Kind: handoff.DeskMessage, Text: "one more thing"}), handoff.StateClosed)
	require.NoError(t, b.deskSays(handoff.DeskEvent{Kind: handoff.DeskEnded}))
	require.Equal(t, log, b.log())

	// The next Handoff is not the one that the desk talks about.
	b.reach(handoff.StateWaiting)
	log = b.log()
	late := handoff.DeskEvent{Kind: handoff.DeskMessage, Ref: h.DeskRef, Text: "one more thing"}
	requireNotAllowed(t, b.svc.FromDesk(b.ctx, b.desk, []handoff.DeskEvent{late}), handoff.StateClosed)
	require.NoError(t, b.svc.FromDesk(b.ctx, b.desk, []handoff.DeskEvent{{Kind: handoff.DeskEnded, Ref: h.DeskRef}}))
	require.Equal(t, log, b.log())
	require.Equal(t, 1, b.counters.accepted[handoff.AuthorOperator], "only what was accepted counts")
}

func TestDeskEventsOfOthers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.reach(handoff.StateWaiting)
	log := b.log()
	event := []handoff.DeskEvent{{Kind: handoff.DeskMessage, Ref: h.DeskRef, Text: "hi"}}
	requireFault(t, b.svc.FromDesk(b.ctx, handoff.Connection{ID: "con_other"}, event), fault.NotFound)
	event[0].Ref = "unknown"
	requireFault(t, b.svc.FromDesk(b.ctx, b.desk, event), fault.NotFound)
	require.Equal(t, log, b.log())
}

// Every event is its own commit: what comes before a refused one stands.
func TestDeskEventsOfOneRequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.reach(handoff.StateWaiting)
	before := b.lastSeq()
	err := b.deskSays(
		handoff.DeskEvent{Kind: handoff.DeskMessage, ID: "1", Text: "Hello"},
		handoff.DeskEvent{Kind: handoff.DeskEnded, ID: "2"},
		handoff.DeskEvent{Kind: handoff.DeskMessage, ID: "3", Text: "lost"},
	)
	requireNotAllowed(t, err, handoff.StateClosed)
	require.Equal(t, []string{
		"ACTIVE", "SYSTEM CONNECTED", "OPERATOR Hello", "CLOSED OPERATOR_ENDED", "SYSTEM ENDED_BY_OPERATOR", "control AGENT 3",
	}, b.told(before))
}

// A desk may open a later session under an id that it has used before. Every
// replica follows, also one that remembers the earlier session.
func TestDeskUsesASessionIDAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := b.replica()
	says := func(svc *handoff.Service, e handoff.DeskEvent) error {
		e.Ref = "chat-77"
		return svc.FromDesk(b.ctx, b.desk, []handoff.DeskEvent{e})
	}
	open := func() {
		b.reach(handoff.StateRequesting)
		d := b.take(handoff.DeliverOpen)
		require.NoError(t, b.svc.DeskAccepted(b.ctx, d, finishOf(d), "chat-77"))
	}
	open()
	require.NoError(t, says(b.svc, handoff.DeskEvent{Kind: handoff.DeskMessage, ID: "1", Text: "Hello"}))
	require.NoError(t, says(other, handoff.DeskEvent{Kind: handoff.DeskMessage, ID: "2", Text: "Hello again"}))
	b.operatorEnds()

	for _, svc := range []*handoff.Service{b.svc, other} {
		b.conv = b.converse(handoff.ChannelWidget)
		open()
		before := b.lastSeq()
		require.NoError(t, says(svc, handoff.DeskEvent{Kind: handoff.DeskMessage, ID: "3", Text: "What is it now?"}))
		require.Equal(t, []string{"ACTIVE", "SYSTEM CONNECTED", "OPERATOR What is it now?"}, b.told(before))
		require.NoError(t, says(svc, handoff.DeskEvent{Kind: handoff.DeskEnded}))
		b.requireState(handoff.StateClosed, handoff.ReasonOperatorEnded)
		requireNotAllowed(t, says(svc, handoff.DeskEvent{Kind: handoff.DeskMessage, ID: "4", Text: "?"}), handoff.StateClosed)
	}
}

// The session ends, and its id is used again, while a message is decided on.
func TestDeskUsesASessionIDAgainMeanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	open := func() {
		b.reach(handoff.StateRequesting)
		d := b.take(handoff.DeliverOpen)
		require.NoError(t, b.svc.DeskAccepted(b.ctx, d, finishOf(d), "chat-77"))
	}
	open()
	b.operatorWrites("Hello") // from here on the session is remembered
	b.store.interrupt(func() {
		_, err := b.svc.EndByUser(b.ctx, b.conv)
		require.NoError(t, err)
		b.conv = b.converse(handoff.ChannelWidget)
		open()
	})
	require.NoError(t, b.deskSays(handoff.DeskEvent{Kind: handoff.DeskMessage, Text: "Are you there?"}))
	b.requireState(handoff.StateActive, "")
	require.Equal(t, "OPERATOR Are you there?", short(b.log()[b.lastSeq()-1]))
}

func TestLongMessagesOfTheDeskAreSplit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text  string
		parts int
	}{
		"at the limit":    {strings.Repeat("語", handoff.MaxTextRunes), 1},
		"one beyond it":   {strings.Repeat("語", handoff.MaxTextRunes+1), 2},
		"three times":     {strings.Repeat("many words ", 3*handoff.MaxTextRunes/11), 4},
		"only attachment": {"", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.reach(handoff.StateWaiting)
			before := b.lastSeq()
			event := handoff.DeskEvent{Kind: handoff.DeskMessage, ID: "m1", Text: c.text, Attachments: []handoff.Attachment{photo}}
			require.NoError(t, b.deskSays(event))
			events := b.log()[before+2:] // after ACTIVE and CONNECTED
			joined := ""
			for i, e := range events {
				require.Equal(t, handoff.AuthorOperator, e.Author)
				require.Equal(t, i == len(events)-1, len(e.Attachments) == 1, "the files come with the last part")
				require.LessOrEqual(t, len([]rune(e.Text)), handoff.MaxTextRunes)
				joined += e.Text
			}
			require.Equal(t, c.text, joined, "nothing is lost")
			require.LessOrEqual(t, len(events), c.parts)
			log := b.log()
			require.NoError(t, b.deskSays(event))
			require.Equal(t, log, b.log(), "a repeat is recognised by its first part")
		})
	}
}

func TestDeskEventDecidedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.reach(handoff.StateWaiting)
	before := b.lastSeq()
	b.store.makeStale(2)
	require.NoError(t, b.deskSays(handoff.DeskEvent{Kind: handoff.DeskMessage, ID: "m1", Text: "Hello"}))
	require.Equal(t, 3, b.store.decisions())
	require.Equal(t, []string{"ACTIVE", "SYSTEM CONNECTED", "OPERATOR Hello"}, b.told(before))
}
