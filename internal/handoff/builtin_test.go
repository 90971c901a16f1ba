package handoff_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

func TestBuiltinDeskReadsTheLog(t *testing.T) {
	t.Parallel()
	b := setupDesk(t, localDesk)
	h := b.reach(handoff.StateRequesting)
	b.userWrites("one")
	require.Equal(t, []string{"OPEN"}, b.undelivered(h.ID))
	b.deskAccepts()
	b.userWrites("two")
	require.Empty(t, b.undelivered(h.ID), "nothing has to be brought to Operators who read it here")
	_, err := b.svc.EndByUser(b.ctx, b.conv)
	require.NoError(t, err)
	require.Equal(t, []string{"CLOSE"}, b.undelivered(h.ID))
}

func TestBuiltinDeskReadsTheEmailStep(t *testing.T) {
	t.Parallel()
	b := setupDesk(t, localDesk)
	h := b.reach(handoff.StateCollectingEmail)
	b.userWrites("my parcel is lost")
	b.userWrites("ann@example.com")
	require.Equal(t, []string{"OPEN"}, b.undelivered(h.ID))
}

func TestClaim(t *testing.T) {
	t.Parallel()
	b := setupDesk(t, localDesk)
	h := b.reach(handoff.StateWaiting)
	log := b.log()
	claimed, err := b.svc.Claim(b.ctx, h.ID, "  Olga ")
	require.NoError(t, err)
	require.Equal(t, "Olga", claimed.ClaimedBy)
	require.Equal(t, "Olga", claimed.Operator)
	require.Equal(t, handoff.StateWaiting, claimed.State, "a claim connects nobody")
	require.Equal(t, log, b.log())
	changes := b.feed.seen(h.ID)
	require.Equal(t, claimed, changes[len(changes)-1], "the other Operators see it go")

	again, err := b.svc.Claim(b.ctx, h.ID, "Olga")
	require.NoError(t, err)
	require.Equal(t, claimed, again)

	_, err = b.svc.Claim(b.ctx, h.ID, "Piet")
	f := requireFault(t, err, fault.NotAllowedInState)
	require.Equal(t, "operator", f.Field)
	require.NotContains(t, f.Public, "Olga")
	require.Equal(t, claimed, b.newest())
}

func TestClaimedTwiceAtOnce(t *testing.T) {
	t.Parallel()
	b := setupDesk(t, localDesk)
	h := b.reach(handoff.StateWaiting)
	b.store.interrupt(func() {
		_, err := b.svc.Claim(b.ctx, h.ID, "Olga")
		require.NoError(t, err)
	})
	_, err := b.svc.Claim(b.ctx, h.ID, "Piet")
	requireFault(t, err, fault.NotAllowedInState)
	require.Equal(t, "Olga", b.newest().ClaimedBy)
}

func TestClaimIsOnlyForTheQueue(t *testing.T) {
	t.Parallel()
	for _, state := range []handoff.State{handoff.StateCollectingEmail, handoff.StateRequesting} {
		b := setupDesk(t, localDesk)
		h := b.reach(state)
		_, err := b.svc.Claim(b.ctx, h.ID, "Olga")
		requireNotAllowed(t, err, state)
		require.Equal(t, h, b.newest())
	}
	b := setupDesk(t, localDesk)
	h := b.reach(handoff.StateClosed)
	_, err := b.svc.Claim(b.ctx, h.ID, "Olga")
	requireNotAllowed(t, err, handoff.StateClosed)
	_, err = b.svc.Claim(b.ctx, "hof_unknown", "Olga")
	requireFault(t, err, fault.NotFound)
}

func TestClaimRacedByTheEnd(t *testing.T) {
	t.Parallel()
	b := setupDesk(t, localDesk)
	h := b.reach(handoff.StateWaiting)
	b.store.interrupt(func() {
		_, err := b.svc.EndByUser(b.ctx, b.conv)
		require.NoError(t, err)
	})
	_, err := b.svc.Claim(b.ctx, h.ID, "Olga")
	requireNotAllowed(t, err, handoff.StateClosed)
	require.Empty(t, b.newest().ClaimedBy)
}

func reply(b *bundle, operator, text, key string) (handoff.Posted, error) {
	return b.svc.Reply(b.ctx, b.newest().ID, operator, handoff.Draft{Text: text, IdempotencyKey: key})
}

func TestReply(t *testing.T) {
	t.Parallel()
	b := setupDesk(t, localDesk)
	b.reach(handoff.StateWaiting)
	before := b.lastSeq()
	posted, err := reply(b, "Olga", "Hello", "k1")
	require.NoError(t, err)
	require.Equal(t, []string{"ACTIVE", "SYSTEM CONNECTED", "OPERATOR Hello"}, b.told(before))
	require.Equal(t, "OPERATOR Hello", short(posted.Event), "not the notice before it")
	require.Equal(t, "Olga", posted.Event.OperatorName)
	require.Equal(t, "Olga", b.newest().ClaimedBy, "replying claims")
	require.Equal(t, handoff.DeadlineSession, b.newest().DeadlineKind)

	again, err := reply(b, "Olga", "Hello", "k1")
	require.NoError(t, err)
	require.True(t, again.Duplicate)
	require.Equal(t, posted.Event, again.Event)

	log := b.log()
	_, err = reply(b, "Piet", "me too", "")
	requireFault(t, err, fault.NotAllowedInState)
	_, err = reply(b, "", "who?", "")
	requireInvalid(t, err, "operator")
	_, err = reply(b, strings.Repeat("o", handoff.MaxNameRunes+1), "hi", "")
	requireInvalid(t, err, "operator")
	_, err = reply(b, "Olga", " ", "")
	requireInvalid(t, err, "text")
	require.Equal(t, log, b.log())

	second, err := reply(b, "Olga", "Anything else?", "k2")
	require.NoError(t, err)
	require.Equal(t, "OPERATOR Anything else?", short(second.Event))
	require.Equal(t, 2, b.counters.accepted[handoff.AuthorOperator])

	b.operatorEnds()
	_, err = reply(b, "Olga", "bye", "")
	requireNotAllowed(t, err, handoff.StateClosed)
	again, err = reply(b, "Olga", "Hello", "k1")
	require.NoError(t, err, "a repeat of what was accepted in time is answered")
	require.Equal(t, posted.Event, again.Event)
}

func TestReplyNeedsAName(t *testing.T) {
	t.Parallel()
	b := setupDesk(t, localDesk)
	h := b.reach(handoff.StateWaiting)
	for _, nobody := range []string{"", " \t"} {
		_, err := reply(b, nobody, "hello", "")
		requireInvalid(t, err, "operator")
	}
	require.Equal(t, h, b.newest())
}

func TestReplyBeforeTheQueue(t *testing.T) {
	t.Parallel()
	b := setupDesk(t, localDesk)
	b.reach(handoff.StateCollectingEmail)
	_, err := reply(b, "Olga", "hi", "")
	requireNotAllowed(t, err, handoff.StateCollectingEmail)
	require.Empty(t, b.newest().ClaimedBy)
}

func TestEndByOperator(t *testing.T) {
	t.Parallel()
	b := setupDesk(t, localDesk)
	h := b.reach(handoff.StateWaiting)
	_, err := reply(b, "Olga", "Hello", "")
	require.NoError(t, err)
	before := b.lastSeq()
	_, err = b.svc.EndByOperator(b.ctx, h.ID, "Piet")
	requireFault(t, err, fault.NotAllowedInState)
	_, err = b.svc.EndByOperator(b.ctx, h.ID, "")
	requireInvalid(t, err, "operator")
	require.Equal(t, before, b.lastSeq())

	ended, err := b.svc.EndByOperator(b.ctx, h.ID, "Olga")
	require.NoError(t, err)
	require.Equal(t, b.newest(), ended)
	require.Equal(t, []string{"CLOSED OPERATOR_ENDED", "SYSTEM ENDED_BY_OPERATOR", "control AGENT 3"}, b.told(before))
	require.Empty(t, b.undelivered(h.ID))

	again, err := b.svc.EndByOperator(b.ctx, h.ID, "Olga")
	require.NoError(t, err, "whoever comes second finds it done")
	require.Equal(t, ended, again)
}

func TestNotesAreNeverInTheLog(t *testing.T) {
	t.Parallel()
	b := setupDesk(t, localDesk)
	h := b.reach(handoff.StateActive)
	log := b.log()
	told := len(b.feed.seen(h.ID))
	n, err := b.svc.AddNote(b.ctx, h.ID, " Olga ", "has been rude\nbefore")
	require.NoError(t, err)
	require.True(t, handoff.HasPrefix(n.ID, handoff.NotePrefix))
	require.Equal(t, handoff.OperatorNote{ID: n.ID, HandoffID: h.ID, Operator: "Olga", Text: "has been rude\nbefore", At: start}, n)
	require.Equal(t, log, b.log())
	require.Len(t, b.feed.seen(h.ID), told+1, "consoles read the notes again")
	_, err = b.svc.AddNote(b.ctx, h.ID, "Piet", "agreed")
	require.NoError(t, err)

	b.operatorEnds()
	_, err = b.svc.AddNote(b.ctx, h.ID, "Olga", "afterwards")
	require.NoError(t, err, "also after the end")
	notes, err := b.svc.Notes(b.ctx, h.ID)
	require.NoError(t, err)
	require.Len(t, notes, 3)
	require.Equal(t, n, notes[0])
	p := b.returned(h.ID)
	require.NotContains(t, strings.Join(said(p.Transcript), "\n"), "rude")

	for field, add := range map[string]func() (handoff.OperatorNote, error){
		"operator": func() (handoff.OperatorNote, error) { return b.svc.AddNote(b.ctx, h.ID, "", "x") },
		"text":     func() (handoff.OperatorNote, error) { return b.svc.AddNote(b.ctx, h.ID, "Olga", "") },
	} {
		_, err := add()
		requireInvalid(t, err, field)
	}
	_, err = b.svc.AddNote(b.ctx, h.ID, "Olga", strings.Repeat("n", handoff.MaxTextRunes+1))
	requireInvalid(t, err, "text")
	_, err = b.svc.AddNote(b.ctx, "hof_unknown", "Olga", "x")
	requireFault(t, err, fault.NotFound)
}

// A handoff that is answered at its desk is not answered here.
func TestOperatorsOfOtherDesksAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.reach(handoff.StateWaiting)
	for name, do := range map[string]func() error{
		"claim": func() error { _, err := b.svc.Claim(b.ctx, h.ID, "Olga"); return err },
		"reply": func() error { _, err := reply(b, "Olga", "hi", ""); return err },
		"end":   func() error { _, err := b.svc.EndByOperator(b.ctx, h.ID, "Olga"); return err },
		"note":  func() error { _, err := b.svc.AddNote(b.ctx, h.ID, "Olga", "x"); return err },
	} {
		f := requireFault(t, do(), fault.Unsupported)
		require.Contains(t, f.Public, remoteDesk, name)
	}
	require.Equal(t, h, b.newest())
}
