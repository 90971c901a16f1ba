package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/app/apptest"
)

// writeMany posts n messages of the User with one call, each of about size bytes.
func writeMany(t *testing.T, c *apptest.Conversation, n, size int) {
	t.Helper()
	var mutation strings.Builder
	mutation.WriteString("mutation($c: ID!, $filling: String!) {")
	for i := range n {
		fmt.Fprintf(&mutation, " m%d: postUserMessage(input: {conversationId: $c, text: $filling}) { epoch }", i)
	}
	mutation.WriteString(" }")
	c.Runtime.Do(mutation.String(), apptest.Vars{"c": c.ID, "filling": strings.Repeat("x", size)}, nil)
}

// TestSlowReaderLosesNothing has one chat that stops reading until more was written
// than fits into the buffers between.
func TestSlowReaderLosesNothing(t *testing.T) {
	const (
		perRound = 50
		most     = 3_000  // the buffers are not that big
		size     = 12_000 // bytes
	)
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		s := apptest.Start(t, d, apptest.Options{})
		c := s.NewAgent(t).WithBuiltin().Converse(nil)
		c.UserWrites("first")
		slow := s.Subscribe(t, c.UserToken, c.ID, apptest.StreamOptions{Narrow: true})
		slow.Await(t, 0, "the first", apptest.Text("first"))
		begun := replays(t, s)
		slow.Hold()
		for written := 0; replays(t, s) == begun; written += perRound {
			require.Less(t, written, most, "the slow one was never served from the log")
			writeMany(t, c, perRound, size)
		}
		last := c.UserWrites("last").Message.Seq
		c.Await("the last, at the other chat", apptest.Text("last"))

		slow.Release()
		got := readToTheEnd(t, s.Service, c, slow, last)
		require.Len(t, got, int(last))
		for i, e := range got {
			require.EqualValues(t, i+1, e.Seq)
		}
	})
}

// replays is how often a reader was served from the log instead of live.
func replays(t *testing.T, s *apptest.Server) (n int) {
	t.Helper()
	_, after, found := strings.Cut(s.Get(t, "/metrics"), "\nhandoff_stream_replays_total ")
	require.True(t, found)
	_, err := fmt.Sscan(after, &n)
	require.NoError(t, err)
	return n
}

// readToTheEnd reads a stream up to the event of a number, and connects again from
// where it is whenever the service has cut it off.
func readToTheEnd(t *testing.T, s *apptest.Service, c *apptest.Conversation, stream *apptest.Stream, last int64) []apptest.Event {
	t.Helper()
	var got []apptest.Event
	for tries := 0; ; tries++ {
		require.Less(t, tries, 10, "cut off again and again")
		complete := stream.AwaitOrEnd(t, func(e apptest.Event) bool { return e.Seq == last })
		got = append(got, stream.Events()...)
		if complete {
			return got
		}
		t.Logf("cut off after %d events", len(got))
		stream = s.Subscribe(t, c.UserToken, c.ID, apptest.StreamOptions{After: int64(len(got))})
	}
}

func TestResumeFromAnywhere(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		s := apptest.Start(t, d, apptest.Options{})
		c := s.NewAgent(t).WithBuiltin().Converse(nil)
		c.Connected(nil)
		for i := range 10 {
			c.UserWrites(fmt.Sprintf("message %d", i))
		}
		// Chats that begin at every event, while more is written.
		var streams []*apptest.Stream
		for after := range int64(18) {
			streams = append(streams, s.Subscribe(t, c.UserToken, c.ID, apptest.StreamOptions{After: after}))
			c.UserWrites(fmt.Sprintf("while %d begins", after))
		}
		c.OperatorEnds()
		c.Await("the end", apptest.Control("AGENT"))
		log := c.Log()
		last := log[len(log)-1].Seq
		for after, stream := range streams {
			stream.Await(t, 0, "the end", func(e apptest.Event) bool { return e.Seq == last })
			require.Equal(t, log[after:], stream.Events())
		}
		ahead, err := s.TrySubscribe(c.UserToken, c.ID, apptest.StreamOptions{After: last + 1})
		require.NoError(t, err)
		require.Equal(t, "INVALID_INPUT", ahead.AwaitEnd(t).ErrorCode, "an event that does not exist yet cannot be the last seen")
		ahead.Close()
	})
}

// TestUsersSeeNothingInternal searches every byte that a User's token can get for
// what only others may see.
func TestUsersSeeNothingInternal(t *testing.T) {
	const note, summary, private, claimed = "NOTE-for-operators", "SUMMARY-for-operators", "PRIVATE-note", "CLAIMED-by"
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		s := apptest.Start(t, d, apptest.Options{})
		agent := s.NewAgent(t).WithBuiltin()
		c := agent.Converse(nil)
		h := c.Connecting(apptest.Vars{"note": note, "summary": summary})
		agent.Runtime.Do(`mutation($h: ID!, $o: String!) { claimHandoff(input: {handoffId: $h, operator: $o}) { handoff { id } } }`,
			apptest.Vars{"h": h.ID, "o": claimed}, nil)
		s.KeepAnswers()
		look := func() {
			everything := `{ id state reason deskKind mode deskConnection { id } deskRef operatorName claimedBy note summary
				operatorNotes { text } returnPackage { marker } deliveries(first: 1) { nodes { id } } }`
			for _, query := range []string{
				`query($c: ID!) { conversation(id: $c) { id user { name email } openHandoff ` + everything + ` } }`,
				`query($c: ID!) { conversation(id: $c) { events { nodes { __typename seq } } handoffs(first: 1) { nodes ` + everything + ` } } }`,
			} {
				c.User.Do(query, apptest.Vars{"c": c.ID}, nil)
			}
			c.User.Do(`query($h: ID!) { viewer { role agentId conversationId } handoff(id: $h) `+everything+` }`, apptest.Vars{"h": h.ID}, nil)
		}
		look()
		addNote := func() {
			agent.Runtime.Do(`mutation($h: ID!, $t: String!) { addOperatorNote(input: {handoffId: $h, operator: "Jo", text: $t}) { note { id } } }`,
				apptest.Vars{"h": h.ID, "t": private}, nil)
		}
		addNote()
		agent.Runtime.Do(`mutation($h: ID!, $o: String!) { postOperatorMessage(input: {handoffId: $h, operator: $o, text: "Hello."}) { handoff { id } } }`,
			apptest.Vars{"h": h.ID, "o": claimed}, nil)
		addNote()
		look()
		asUser, err := c.TryUserRequest()
		require.NoError(t, err)
		require.Equal(t, "ALREADY_ACTIVE", asUser.Outcome)
		require.Empty(t, asUser.Handoff.Note+asUser.Handoff.Summary+asUser.Handoff.DeskRef+asUser.Handoff.ClaimedBy)
		c.UserWrites("Thanks!")
		_, err = c.TryUserEnds()
		require.NoError(t, err)
		addNote() // after the end
		look()
		backWithAgent(c, "USER_ENDED")
		c.UserWrites("the last")
		c.Await("the last", apptest.Text("the last"))

		received := c.Stream.Received()
		var answered strings.Builder
		for _, exchange := range s.Answers() {
			if exchange.Token == c.UserToken {
				answered.Write(exchange.Answer)
			}
		}
		require.Contains(t, received, "Hello.")
		require.Contains(t, answered.String(), h.ID)
		for _, internal := range []string{note, summary, private, h.DeskRef, agent.Connection.ID} {
			require.NotContains(t, received, internal)
			require.NotContains(t, answered.String(), internal)
		}

		// It was all there for the console.
		var console struct {
			Handoff struct {
				Note, Summary string
				OperatorNotes []struct{ Text string }
			}
		}
		agent.Runtime.Do(`query($h: ID!) { handoff(id: $h) { note summary operatorNotes { text } } }`, apptest.Vars{"h": h.ID}, &console)
		require.Equal(t, note, console.Handoff.Note)
		require.Equal(t, summary, console.Handoff.Summary)
		require.Len(t, console.Handoff.OperatorNotes, 3)
	})
}

func TestUsersSeeOnlyTheirOwn(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		s := apptest.Start(t, d, apptest.Options{})
		agent := s.NewAgent(t).WithBuiltin()
		mine, other := agent.ConverseUnwatched(nil), agent.ConverseUnwatched(nil)
		other.UserWrites("a secret")
		theirs := other.Connecting(nil)
		stranger := s.NewAgent(t)

		for name, try := range map[string]struct{ token, code string }{
			"another user":      {mine.UserToken, "NOT_FOUND"},
			"another agent":     {stranger.Key(), "NOT_FOUND"},
			"no such id":        {s.AdminToken, "NOT_FOUND"},
			"without any token": {"", "UNAUTHENTICATED"},
		} {
			id := other.ID
			if name == "no such id" {
				id = "cnv_00000000000000000000000000"
			}
			stream, err := s.TrySubscribe(try.token, id, apptest.StreamOptions{})
			if err != nil { // the socket itself was refused
				require.Empty(t, try.token, "%s: %v", name, err)
				continue
			}
			ended := stream.AwaitEnd(t)
			stream.Close()
			require.Equal(t, try.code, ended.ErrorCode, "%s: %v", name, ended)
			require.NotContains(t, stream.Received(), "a secret")
		}
		for query, variables := range map[string]apptest.Vars{
			`query($id: ID!) { conversation(id: $id) { id } }`:                                                              {"id": other.ID},
			`query($id: ID!) { handoff(id: $id) { id } }`:                                                                   {"id": theirs.ID},
			`mutation($id: ID!) { postUserMessage(input: {conversationId: $id, text: "I am not me"}) { epoch } }`:           {"id": other.ID},
			`mutation($id: ID!) { endHandoff(input: {conversationId: $id}) { handoff { id } } }`:                            {"id": other.ID},
			`mutation($id: ID!) { requestHandoff(input: {conversationId: $id}) { outcome } }`:                               {"id": other.ID},
			`mutation($id: ID!) { setEmail(input: {conversationId: $id, email: "x@example.com"}) { conversation { id } } }`: {"id": other.ID},
		} {
			require.Equal(t, "NOT_FOUND", apptest.CodeOf(mine.User.Try(query, variables, nil)), query)
			require.Equal(t, "NOT_FOUND", apptest.CodeOf(stranger.Runtime.Try(query, variables, nil)), query)
		}
		require.Equal(t, "FORBIDDEN", apptest.CodeOf(mine.User.Try(`query($id: ID!) { agent(id: $id) { name } }`, apptest.Vars{"id": agent.ID}, nil)))
		require.Equal(t, "FORBIDDEN", apptest.CodeOf(mine.TryAgentWritesAs(mine.User, 1, "I am the agent")))
		require.Equal(t, []string{"a secret"}, apptest.TextsBy(other.Log(), "USER"))
	})
}

func TestSocketEndsWithItsToken(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		clock := apptest.NewClock()
		s := apptest.Start(t, d, apptest.Options{Clock: clock})
		c := s.NewAgent(t).WithBuiltin().Converse(nil)
		token := c.NewUserToken(60)
		var read struct{ Viewer struct{ ExpiresAt time.Time } }
		s.As(t, token).Do(`{ viewer { expiresAt } }`, nil, &read)
		clock.Advance(read.Viewer.ExpiresAt.Sub(clock.Now()) - 50*time.Millisecond)
		c.UserWrites("before")
		short := s.Subscribe(t, token, c.ID, apptest.StreamOptions{})
		short.Await(t, 0, "what is there", apptest.Text("before"))
		clock.Advance(50 * time.Millisecond)
		ended := short.AwaitEnd(t)
		require.Equal(t, 4403, ended.CloseCode, ended)
		c.UserWrites("after")
		c.Await("after, by the other token", apptest.Text("after"))
		require.Zero(t, apptest.Count(short.Events(), apptest.Text("after")))
		require.Equal(t, "UNAUTHENTICATED", apptest.CodeOf(s.As(t, token).Try(`query($c: ID!) { conversation(id: $c) { id } }`, apptest.Vars{"c": c.ID}, nil)))
		again, err := s.TrySubscribe(token, c.ID, apptest.StreamOptions{})
		if err == nil {
			require.Equal(t, 4403, again.AwaitEnd(t).CloseCode)
			again.Close()
		}
	})
}

func TestSignalsReachWhoWatches(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		s := apptest.Start(t, d, apptest.Options{})
		c := s.NewAgent(t).WithBuiltin().Converse(nil)
		c.UserWrites("first")
		c.Await("the first", apptest.Text("first")) // the stream is live
		c.Runtime.Do(`mutation($c: ID!) { sendSignal(input: {conversationId: $c, kind: TYPING, author: OPERATOR}) { accepted } }`,
			apptest.Vars{"c": c.ID}, nil)
		c.Stream.AwaitSignal(t)
		require.Len(t, c.Log(), 1, "a signal is not stored")
	})
}
