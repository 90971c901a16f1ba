package handoff_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
	"handoff/internal/hours"
)

// lanes lists what the lane of b.conv in the messenger has still to deliver, in short.
func (b *bundle) lanes() []string {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	list := []string{}
	for _, d := range b.store.lane(handoff.MessengerLane(b.conv)).rows {
		if d.Kind != handoff.DeliverSay {
			list = append(list, string(d.Kind))
			continue
		}
		for _, e := range b.store.events[b.conv] {
			if e.Seq == d.EventSeq {
				list = append(list, "SAY "+short(e))
			}
		}
	}
	return list
}

// takesOver is an Operator's message that nobody asked for.
func (b *bundle) takesOver(e handoff.DeskEvent) error {
	b.t.Helper()
	e.Kind, e.Ref = handoff.DeskMessage, b.conversation().DeskRef
	return b.svc.FromDesk(b.ctx, b.desk, []handoff.DeskEvent{e})
}

func TestTheFirstMessageInTheMessengerBeginsAConversation(t *testing.T) {
	t.Parallel()
	b := setupDesk(t, messengerDesk)
	before, err := b.svc.Conversations(b.ctx, handoff.ConversationFilter{AgentID: b.agent}, handoff.Page{First: 10})
	require.NoError(t, err)
	first := handoff.DeskEvent{
		Kind: handoff.DeskUserWrote, Ref: "ref-2", ID: "1", Text: "Hi", Attachments: []handoff.Attachment{photo}, Language: "ZH-tw",
		User: handoff.User{ID: " u1\n", Name: strings.Repeat("n", 300), Email: "no address", Phone: "1"},
	}
	require.NoError(t, b.svc.FromDesk(b.ctx, b.desk, []handoff.DeskEvent{first, first}), "a second delivery is harmless")
	c, err := b.store.ConversationByRef(b.ctx, b.desk.ID, "ref-2")
	require.NoError(t, err)
	require.Equal(t, handoff.Conversation{
		ID: c.ID, AgentID: b.agent, Channel: handoff.ChannelIntercom, ConnectionID: b.desk.ID, DeskRef: "ref-2",
		User: handoff.User{ID: "u1", Name: strings.Repeat("n", handoff.MaxIdentityRunes), Phone: "1"}, Language: "zh-TW",
		Control: handoff.ControlAgent, Epoch: 1, LastSeq: 1, Version: c.Version, UnansweredSince: start, CreatedAt: start, UpdatedAt: start,
	}, c)
	b.conv = c.ID
	require.Equal(t, []string{"USER Hi"}, b.told(0))
	require.Equal(t, []handoff.Attachment{photo}, b.log()[0].Attachments)
	require.Empty(t, b.lanes(), "it is there already")
	require.Equal(t, 2, b.counters.accepted[handoff.AuthorUser])

	// What the desk learns later completes what is known, and replaces nothing.
	require.NoError(t, b.svc.FromDesk(b.ctx, b.desk, []handoff.DeskEvent{{
		Kind: handoff.DeskUserWrote, Ref: "ref-2", ID: "2", Text: "again", User: handoff.User{ID: "u2", Email: "Mei@Example.com"}, Language: "en",
	}}))
	c = b.conversation()
	require.Equal(t, "u1", c.User.ID)
	require.Equal(t, "Mei@Example.com", c.User.Email)
	require.Equal(t, "zh-TW", c.Language)
	after, err := b.svc.Conversations(b.ctx, handoff.ConversationFilter{AgentID: b.agent}, handoff.Page{First: 10})
	require.NoError(t, err)
	require.Len(t, after.Items, len(before.Items)+1)
}

func TestTwoFirstMessagesAtOnceMakeOneConversation(t *testing.T) {
	t.Parallel()
	b := setupDesk(t, messengerDesk)
	b.store.interrupt(func() { b.userWritesIn("ref-2", "second", "2") })
	b.userWritesIn("ref-2", "first", "1")
	c, err := b.store.ConversationByRef(b.ctx, b.desk.ID, "ref-2")
	require.NoError(t, err)
	b.conv = c.ID
	require.Equal(t, []string{"USER second", "USER first"}, b.told(0))
}

func TestALongMessageInTheMessengerIsSplit(t *testing.T) {
	t.Parallel()
	b := setupDesk(t, messengerDesk)
	long := strings.Repeat("x", handoff.MaxTextRunes) + "y"
	before := b.lastSeq()
	b.userWritesIn("ref-1", long, "1")
	b.userWritesIn("ref-1", long, "1")
	require.Equal(t, []string{"USER " + long[:handoff.MaxTextRunes], "USER y"}, b.told(before))
	b.userWritesIn("ref-1", "", "2")
	require.Len(t, b.told(before), 2, "nothing was written")
}

func TestMessagesThatAreNotOurs(t *testing.T) {
	t.Parallel()
	b := setupDesk(t, messengerDesk)
	external := b.connect(remoteDesk)
	inactive := b.desk
	b.connect(messengerDesk)
	inactive, err := b.store.Connection(b.ctx, inactive.ID)
	require.NoError(t, err)
	before := b.lastSeq()
	for name, c := range map[string]handoff.Connection{"another mode": external, "inactive": inactive} {
		for _, ref := range []string{"ref-1", "ref-new"} {
			err := b.svc.FromDesk(b.ctx, c, []handoff.DeskEvent{{Kind: handoff.DeskUserWrote, Ref: ref, Text: "Hi"}})
			requireFault(t, err, fault.NotFound)
		}
		_, err := b.store.ConversationByRef(b.ctx, c.ID, "ref-new")
		require.Error(t, err, name)
	}
	require.Equal(t, before, b.lastSeq())
	requireFault(t, b.svc.FromDesk(b.ctx, b.desk, []handoff.DeskEvent{{Kind: handoff.DeskUserWrote, Text: "Hi"}}), fault.NotFound)
	requireFault(t, b.svc.FromDesk(b.ctx, b.desk, []handoff.DeskEvent{{Kind: handoff.DeskMessage, Ref: "ref-new", Text: "Hi"}}), fault.NotFound)

	_, err = b.svc.PostUserMessage(b.ctx, b.conv, handoff.Draft{Text: "Hi"})
	requireFault(t, err, fault.Unsupported)
	_, err = b.svc.StartConversation(b.ctx, handoff.StartConversation{AgentID: b.agent, Channel: handoff.ChannelIntercom})
	requireInvalid(t, err, "channel")
}

func TestTheAgentSpeaksInTheMessenger(t *testing.T) {
	t.Parallel()
	b := setupDesk(t, messengerDesk)
	_, err := b.agentWrites("Let me see.")
	require.NoError(t, err)
	_, err = b.agentWrites("I will connect you.")
	require.NoError(t, err)
	b.settings(func(s *handoff.Settings) { s.EmailPolicy = handoff.EmailAsk })
	require.Equal(t, handoff.OutcomeRequesting, b.request().Outcome, "nobody is asked for an address there")
	require.Equal(t, []string{"SAY AGENT Let me see.", "SAY AGENT I will connect you.", "OPEN"}, b.lanes(), "said before the humans come")
	require.Equal(t, "ref-1", b.newest().DeskRef)
	b.userWritesIn("ref-1", "And hurry.", "")

	b.deliver(handoff.DeliverSay)
	b.deliver(handoff.DeliverSay)
	d := b.take(handoff.DeliverOpen)
	require.NoError(t, b.svc.DeskAccepted(b.ctx, d, finishOf(d), "another"))
	require.Equal(t, "ref-1", b.newest().DeskRef, "the User is where the User is")
	require.Equal(t, []string{"SAY SYSTEM CONNECTING"}, b.lanes())

	before := b.lastSeq()
	b.operatorWrites("Hello, this is Olga.")
	b.userWritesIn("ref-1", "Hi Olga", "")
	b.operatorEnds()
	b.userWritesIn("ref-1", "One more thing", "")
	require.Equal(t, []string{
		"ACTIVE", "OPERATOR Hello, this is Olga.", "USER Hi Olga", "CLOSED OPERATOR_ENDED", "control AGENT 3", "USER One more thing",
	}, b.told(before), "the human comes and goes without our words")
	require.Equal(t, []string{"SAY SYSTEM CONNECTING"}, b.lanes(), "what is owed stays; whether it is too late is seen when it is its turn")
	require.Less(t, b.newest().RequestSeq, b.conversation().HumanSeq)
}

func TestStandardTextsInTheMessenger(t *testing.T) {
	t.Parallel()
	t.Run("outside the hours", func(t *testing.T) {
		t.Parallel()
		b := setupDesk(t, messengerDesk)
		b.settings(func(s *handoff.Settings) {
			s.Hours = []hours.Rule{{Kind: hours.Dated, Date: hours.Date{Year: 2030, Month: 1, Day: 1}, Start: 0, End: hours.EndOfDay}}
		})
		require.Equal(t, handoff.OutcomeOutOfService, b.request().Outcome)
		require.Equal(t, []string{"SAY SYSTEM OUT_OF_HOURS"}, b.lanes())
	})
	t.Run("the desk refuses", func(t *testing.T) {
		t.Parallel()
		b := setupDesk(t, messengerDesk)
		_, err := b.agentWrites("Connecting you.")
		require.NoError(t, err)
		b.request()
		b.deliver(handoff.DeliverSay)
		d := b.take(handoff.DeliverOpen)
		require.NoError(t, b.svc.DeskRefused(b.ctx, d, finishOf(d), true))
		b.requireState(handoff.StateClosed, handoff.ReasonTransferFailed)
		require.Equal(t, []string{"SAY SYSTEM BUSY", "CLOSE"}, b.lanes())
	})
	t.Run("withdrawn before it was tried", func(t *testing.T) {
		t.Parallel()
		b := setupDesk(t, messengerDesk)
		_, err := b.agentWrites("Connecting you.")
		require.NoError(t, err)
		b.request()
		require.NoError(t, b.deskSays(handoff.DeskEvent{Kind: handoff.DeskEnded}))
		require.Equal(t, []string{"SAY AGENT Connecting you."}, b.lanes(), "the opening is dropped, the Agent's words are not")
	})
	t.Run("nobody answers", func(t *testing.T) {
		t.Parallel()
		b := setupDesk(t, messengerDesk)
		b.reach(handoff.StateWaiting)
		b.deliver(handoff.DeliverSay)
		b.pass(handoff.DefaultWaitTimeout.Duration())
		b.requireState(handoff.StateClosed, handoff.ReasonWaitTimeout)
		require.Equal(t, []string{"CLOSE", "SAY SYSTEM ENDED_BY_TIMEOUT"}, b.lanes(), "taken back, then said")
	})
	t.Run("the User falls silent", func(t *testing.T) {
		t.Parallel()
		b := setupDesk(t, messengerDesk)
		require.NoError(t, b.takesOver(handoff.DeskEvent{Text: "Hello"}))
		b.pass(handoff.DefaultSessionTimeout.Duration())
		b.requireState(handoff.StateClosed, handoff.ReasonSessionTimeout)
		require.Equal(t, []string{"CLOSE", "SAY SYSTEM ENDED_BY_TIMEOUT"}, b.lanes())
	})
}

func TestAHumanTakesTheSessionOver(t *testing.T) {
	t.Parallel()
	b := setupDesk(t, messengerDesk)
	b.settings(func(s *handoff.Settings) {
		s.Enabled = false
		s.Hours = []hours.Rule{{Kind: hours.Dated, Date: hours.Date{Year: 2030, Month: 1, Day: 1}, Start: 0, End: hours.EndOfDay}}
	})
	epoch := b.conversation().Epoch
	before := b.lastSeq()
	e := handoff.DeskEvent{ID: "1", Text: "Hello, this is Olga.", OperatorName: "Olga"}
	require.NoError(t, b.takesOver(e))
	require.NoError(t, b.takesOver(e), "a second delivery is harmless")
	require.Equal(t, []string{"ACTIVE", "control HANDOFF 2", "OPERATOR Hello, this is Olga."}, b.told(before))
	require.Empty(t, b.lanes(), "nothing is opened at the desk, nothing is said")
	h := b.newest()
	require.Equal(t, handoff.DeadlineSession, h.DeadlineKind)
	require.Equal(t, "Olga", h.Operator)
	require.Equal(t, start, h.ConnectedAt)
	require.Equal(t, handoff.ModeDeskToDesk, h.Mode)
	_, err := b.svc.PostAgentMessage(b.ctx, b.conv, epoch, handoff.Draft{Text: "late"})
	requireFault(t, err, fault.StaleControl)

	b.userWritesIn("ref-1", "Thanks", "2")
	b.operatorEnds()
	require.Equal(t, handoff.ControlAgent, b.conversation().Control)
	require.NoError(t, b.takesOver(e), "nor does it come back after the end")
	require.Equal(t, h.ID, b.newest().ID)

	// A message from before the end that comes after the news of it begins nothing.
	b.clock.advance(time.Minute)
	requireNotAllowed(t, b.takesOver(handoff.DeskEvent{ID: "3", Text: "Bye", At: start.Add(-time.Second)}), handoff.StateClosed)
	require.Equal(t, h.ID, b.newest().ID)
	require.NoError(t, b.takesOver(handoff.DeskEvent{ID: "4", Text: "One more", At: start.Add(time.Second)}))
	require.NotEqual(t, h.ID, b.newest().ID)
	b.requireState(handoff.StateActive, "")
}

// In a desk's messenger all handoffs of a User have the same session. The news of the
// end of one, told again or late, does not end the next.
func TestAnEarlierEndDoesNotEndTheNextHandoff(t *testing.T) {
	t.Parallel()
	b := setupDesk(t, messengerDesk)
	b.reach(handoff.StateActive)
	b.clock.advance(90*time.Second + 400*time.Millisecond)
	end := handoff.DeskEvent{Kind: handoff.DeskEnded, ID: "1:ended", At: b.clock.now().Truncate(time.Second)}
	require.NoError(t, b.deskSays(end))
	b.requireState(handoff.StateClosed, handoff.ReasonOperatorEnded)

	b.clock.advance(10 * time.Second)
	b.reach(handoff.StateRequesting)
	require.NoError(t, b.deskSays(end))
	b.requireState(handoff.StateRequesting, "")
	b.deskAccepts()
	require.NoError(t, b.deskSays(end))
	b.requireState(handoff.StateWaiting, "")
	end.ID, end.At = "2:ended", b.clock.now().Truncate(time.Second)
	require.NoError(t, b.deskSays(end), "desks tell no fractions of a second")
	b.requireState(handoff.StateClosed, handoff.ReasonOperatorEnded)

	// One that a human began by writing is known later than it began.
	b.clock.advance(time.Minute)
	require.NoError(t, b.takesOver(handoff.DeskEvent{ID: "3", Text: "Hello", At: b.clock.now().Add(-20 * time.Second)}))
	end.ID, end.At = "3:ended", b.clock.now().Add(-10*time.Second)
	require.NoError(t, b.deskSays(end))
	b.requireState(handoff.StateClosed, handoff.ReasonOperatorEnded)
}

// The session ends between the look at it and the decision.
func TestAHumanWritesAsTheSessionEnds(t *testing.T) {
	t.Parallel()
	b := setupDesk(t, messengerDesk)
	require.NoError(t, b.takesOver(handoff.DeskEvent{ID: "1", Text: "Hello"}))
	first := b.newest().ID
	b.store.interrupt(b.operatorEnds)
	require.NoError(t, b.takesOver(handoff.DeskEvent{ID: "2", Text: "Wait"}))
	require.NotEqual(t, first, b.newest().ID, "the human has come back")
	b.requireState(handoff.StateActive, "")
}

func TestWhoAwaitsTheAgent(t *testing.T) {
	t.Parallel()
	b := setupDesk(t, messengerDesk)
	told := func() int {
		b.feed.mu.Lock()
		defer b.feed.mu.Unlock()
		n := len(b.feed.awaiting)
		b.feed.awaiting = nil
		return n
	}
	awaits := func(want bool) {
		t.Helper()
		require.Equal(t, want, new(b.conversation()).AwaitsAgent())
	}
	require.Equal(t, 1, told())
	awaits(true)
	b.clock.advance(time.Second)
	b.userWritesIn("ref-1", "Anybody?", "")
	require.Equal(t, start, b.conversation().UnansweredSince, "since the first that is unanswered")
	require.Equal(t, 1, told(), "each message is told")
	_, err := b.agentWrites("Yes.")
	require.NoError(t, err)
	awaits(false)
	require.Zero(t, told())

	b.userWritesIn("ref-1", "A person, please", "")
	require.Equal(t, 1, told())
	b.reach(handoff.StateWaiting)
	awaits(false)
	b.userWritesIn("ref-1", "Hello?", "")
	require.Zero(t, told(), "while the humans have it, the Agent is not asked")
	b.pass(handoff.DefaultWaitTimeout.Duration())
	awaits(true)
	require.Equal(t, 1, told(), "what nobody answered is the Agent's again")

	b.reach(handoff.StateActive)
	require.Zero(t, told())
	b.operatorEnds()
	awaits(false)
	require.Zero(t, told(), "the human has answered")

	// Elsewhere the Agent's runtime has posted the message itself.
	b.connect(remoteDesk)
	b.conv = b.converse(handoff.ChannelWidget)
	b.userWrites("Hi")
	awaits(false)
	require.Zero(t, told())
}

func TestWhatWasNotSaidIsInTheLog(t *testing.T) {
	t.Parallel()
	b := setupDesk(t, messengerDesk)
	p, err := b.agentWrites("Let me see.")
	require.NoError(t, err)
	d, ok, err := b.store.Head(b.ctx, handoff.MessengerLane(b.conv))
	require.NoError(t, err)
	require.True(t, ok)
	before := b.lastSeq()
	require.NoError(t, b.svc.NotSaid(b.ctx, d, finishDead(d)))
	require.Equal(t, []string{"failed 2"}, b.told(before))
	require.Equal(t, int64(2), p.Event.Seq)
	dead, err := b.svc.Delivery(b.ctx, d.ID)
	require.NoError(t, err)
	require.Equal(t, handoff.DeliveryDead, dead.Status)
	require.Empty(t, dead.HandoffID)
}

// The User's signs of life are in the messenger already.
func TestSignalsOfAUserInTheMessenger(t *testing.T) {
	t.Parallel()
	b := setupDesk(t, messengerDesk)
	b.reach(handoff.StateActive)
	require.NoError(t, b.svc.SendSignal(b.ctx, b.conv, handoff.AuthorUser, handoff.SignalTyping))
	require.Empty(t, b.desks.signals)
	require.NoError(t, b.deskSays(handoff.DeskEvent{Kind: handoff.DeskTyping}))
	require.Len(t, b.feed.signals, 2)
}
