package handoff_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

func said(events []handoff.Event) []string {
	list := []string{}
	for _, e := range events {
		list = append(list, short(e))
	}
	return list
}

func (b *bundle) returned(handoffID string) handoff.ReturnPackage {
	b.t.Helper()
	p, err := b.svc.ReturnPackage(b.ctx, handoffID)
	require.NoError(b.t, err)
	return p
}

func TestReturnPackage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.userWrites("before")
	_, err := b.agentWrites("I will connect you")
	require.NoError(t, err)
	h := b.reach(handoff.StateRequesting)
	b.userWrites("one")
	b.deskAccepts()
	b.operatorWrites("two")
	b.userWrites("three")
	b.userWrites("four")

	_, err = b.svc.ReturnPackage(b.ctx, h.ID)
	requireNotAllowed(t, err, handoff.StateActive)

	_, err = b.svc.EndByUser(b.ctx, b.conv)
	require.NoError(t, err)
	b.userWrites("after")
	_, err = b.agentWrites("back again")
	require.NoError(t, err)

	p := b.returned(h.ID)
	require.Equal(t, b.newest(), p.Handoff)
	require.Equal(t, []string{"USER one", "OPERATOR two", "USER three", "USER four"}, said(p.Transcript))
	require.Equal(t, []string{"USER three", "USER four"}, said(p.Unanswered))
	require.False(t, p.Truncated)
	require.Equal(t, "[The human-service session has ended (USER_ENDED). You are answering the user again.]", p.Marker)

	second := b.reach(handoff.StateRequesting)
	b.userWrites("five")
	b.deskRefuses(false)
	require.Equal(t, []string{"USER five"}, said(b.returned(second.ID).Transcript))
	require.Equal(t, p, b.returned(h.ID), "the first one stays what it was")

	_, err = b.svc.ReturnPackage(b.ctx, "hof_unknown")
	requireFault(t, err, fault.NotFound)
}

func TestReturnPackageWithoutAHuman(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.reach(handoff.StateRequesting)
	b.deskRefuses(false)
	p := b.returned(h.ID)
	require.Empty(t, p.Transcript)
	require.Empty(t, p.Unanswered)
	require.Equal(t, "[The request for a human has ended without one (TRANSFER_FAILED). You are answering the user again.]", p.Marker)
}

func TestReturnPackageOfALongSession(t *testing.T) {
	t.Parallel()
	const limit = 500 // messages, the standard texts included
	for _, messages := range []int{limit - 1, limit, limit + 40} {
		b := setup(t)
		b.userWrites("before")
		b.reach(handoff.StateRequesting)
		b.operatorWrites("Hello") // "connected" and this, and "ended" below: three messages
		for range messages - 2 {
			b.userWrites("more")
		}
		h := b.newest()
		_, err := b.svc.EndByUser(b.ctx, b.conv)
		require.NoError(t, err)
		p := b.returned(h.ID)
		all := messages - 1 // Hello and more
		truncated := messages+1 > limit
		require.Equal(t, truncated, p.Truncated, "%d messages", messages)
		if !truncated {
			require.Len(t, p.Transcript, all)
			require.Equal(t, "OPERATOR Hello", short(p.Transcript[0]))
			continue
		}
		require.LessOrEqual(t, len(p.Transcript), limit)
		require.GreaterOrEqual(t, len(p.Transcript), limit-3)
		require.Equal(t, "USER more", short(p.Transcript[len(p.Transcript)-1]), "the newest are kept")
	}
}
