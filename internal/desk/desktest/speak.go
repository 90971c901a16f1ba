package desktest

import (
	"slices"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// Rules of DESK_TO_DESK, where the Agent speaks in the desk's own messenger.
var speakRules = []rule{
	{name: "what the user writes comes through", calls: true, check: whatTheUserWritesComesThrough},
	{name: "the agent's words arrive in order", calls: true, check: agentsWordsArrive},
}

func whatTheUserWritesComesThrough(t tester, b *bench) {
	if b.h.Mode != handoff.ModeDeskToDesk || b.h.Incoming == nil || b.h.NewSession == nil {
		return
	}
	ref := b.h.NewSession(b.fake)
	ids := map[string]string{}
	for i, text := range []string{"hello", "客服 🙂"} {
		events, known := b.hears(t, ref, happening(UserWrites, i, text))
		require.True(t, known, "the User writes in the desk's messenger: the harness must make that")
		require.Empty(t, shown(t, ref, events), "it is no operator")
		// A desk may tell more than this: what is not answered yet.
		at := slices.IndexFunc(events, func(e handoff.DeskEvent) bool {
			return e.Kind == handoff.DeskUserWrote && e.Ref == ref && e.ID != "" && e.Text == text
		})
		require.GreaterOrEqual(t, at, 0, "%q", text)
		ids[events[at].ID] = text
	}
	require.Len(t, ids, 2, "each has an id of its own")
}

func agentsWordsArrive(t tester, b *bench) {
	if b.h.Mode != handoff.ModeDeskToDesk || b.h.NewSession == nil {
		return
	}
	speaker, ok := desk.As[desk.Speaker](b.desk)
	require.True(t, ok)
	ref := b.h.NewSession(b.fake)
	texts := []string{"first", "客服 🙂 <b>&amp;</b>", "first"}
	for i, text := range texts {
		author := []handoff.Author{handoff.AuthorAgent, handoff.AuthorSystem}[i%2]
		_, err := speaker.Say(t.Context(), desk.SayRequest{
			Attempt: desk.Attempt{DeliveryID: deliveryID(), At: now}, Ref: ref, Author: author, Text: desk.Text{Body: text, At: now},
		})
		require.NoError(t, err)
	}
	var got []string
	for _, c := range b.fake.Received() {
		require.Equal(t, Said, c.Operation)
		require.Equal(t, ref, c.Ref)
		got = append(got, c.Texts...)
	}
	require.Equal(t, texts, got)
	b.make(status(404))
	_, err := speaker.Say(t.Context(), desk.SayRequest{Ref: ref, Author: handoff.AuthorAgent, Text: desk.Text{Body: personalText}})
	require.Equal(t, fault.DeskGone, fault.KindOf(err))
	b.tellsNoSecret(t, err)
}
