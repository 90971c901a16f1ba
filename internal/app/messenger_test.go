package app_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/app"
	"handoff/internal/app/apptest"
	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

func userWrote(id, text string) handoff.DeskEvent {
	return handoff.DeskEvent{Kind: handoff.DeskUserWrote, Ref: "ref", ID: id, Text: text, Language: "en"}
}

func humanWrote(id, text string) handoff.DeskEvent {
	return handoff.DeskEvent{Kind: handoff.DeskMessage, Ref: "ref", ID: id, Text: text, OperatorName: "Olga"}
}

var humanEnded = handoff.DeskEvent{Kind: handoff.DeskEnded, Ref: "ref"}

// The User writes in the messenger, the Agent answers, a human takes over and gives
// back. The desk tells everything twice.
func TestInTheMessengerOfADesk(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		m := &apptest.Messenger{Kind: "messenger", Channel: handoff.ChannelIntercom}
		s := apptest.Start(t, d, apptest.Options{Drivers: []desk.Driver{m}})
		agent := s.NewAgent(t).WithMessenger(m)
		tells := func(e handoff.DeskEvent) {
			agent.Tells(e)
			agent.Tells(e)
		}

		// A runtime that comes later finds what awaits it.
		tells(userWrote("1", "Where is my parcel?"))
		runtime := agent.Awaiting()
		first := runtime.Await(t, 1, 1)
		require.True(t, first.Initial)
		require.Equal(t, "INTERCOM", first.Conversation.Channel)
		require.True(t, first.Conversation.AwaitsAgent)
		c := agent.InMessenger(first.Conversation.ID)
		c.AgentWrites(1, "Which order?")
		m.AwaitDid(t, "SAY AGENT Which order?")

		tells(userWrote("2", "I want to talk to a person."))
		require.False(t, runtime.Await(t, 1, 3).Initial)
		c.AgentWrites(1, "I will connect you.")
		h := c.Connecting(apptest.Vars{"epoch": 1, "note": "parcel"})
		require.Equal(t, "ref", h.DeskRef)
		tells(userWrote("3", "It is order 4711."))
		tells(humanWrote("4", "Hello, this is Olga."))
		require.Equal(t, "STALE_CONTROL", apptest.CodeOf(c.TryAgentWrites(1, "late")))
		tells(userWrote("5", "Hello Olga."))
		tells(humanWrote("6", "It arrives today."))
		tells(humanEnded)
		epoch := backWithAgent(c, "OPERATOR_ENDED")
		require.Len(t, c.ReturnPackage().Transcript, 4)

		tells(userWrote("7", "Thank you."))
		require.Equal(t, c.ID, runtime.Await(t, epoch, 1).Conversation.ID)
		c.AgentWrites(epoch, "You are welcome.")
		m.AwaitDid(t, "SAY AGENT You are welcome.")

		did := m.Did()
		if i := slices.IndexFunc(did, func(what string) bool {
			return what == "SAY SYSTEM "+handoff.StandardText(handoff.NoticeConnecting, "en")
		}); i >= 0 {
			did = slices.Delete(did, i, i+1) // unless the human was faster
		}
		require.Equal(t, []string{
			"SAY AGENT Which order?", "SAY AGENT I will connect you.", "OPEN ref", "SAY AGENT You are welcome.",
		}, did)
		var said []string
		for _, e := range c.Log() {
			if e.Author != "" && e.Author != "SYSTEM" {
				said = append(said, e.Author+" "+e.Text)
			}
		}
		require.Equal(t, []string{
			"USER Where is my parcel?", "AGENT Which order?", "USER I want to talk to a person.", "AGENT I will connect you.",
			"USER It is order 4711.", "OPERATOR Hello, this is Olga.", "USER Hello Olga.", "OPERATOR It arrives today.",
			"USER Thank you.", "AGENT You are welcome.",
		}, said)
	})
}

// An answer of the Agent is on its way when a human takes the session over unasked.
func TestALateAnswerIsNotSaid(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		m := &apptest.Messenger{Kind: "messenger", Channel: handoff.ChannelIntercom}
		asked, answer := make(chan struct{}), make(chan struct{})
		m.React(func(ctx context.Context, what string, _ bool) error {
			close(asked)
			<-answer
			return fault.New(fault.DeskUnavailable, "not now")
		})
		s := apptest.Start(t, d, apptest.Options{Drivers: []desk.Driver{m}})
		agent := s.NewAgent(t).WithMessenger(m)
		agent.Set(apptest.Vars{"hours": []apptest.Vars{{"kind": "DATED", "date": "2000-01-01", "start": "00:00", "end": "24:00"}}})
		agent.Tells(userWrote("1", "Hello?"))
		c := agent.InMessenger(agent.Awaiting().Await(t, 1, 1).Conversation.ID)
		c.AgentWrites(1, "Let me see.")
		c.AgentWrites(1, "One moment.")
		<-asked
		agent.Tells(humanWrote("2", "Hello, this is Olga."))
		require.Equal(t, "ACTIVE", c.Handoff().State, "outside the hours: the human is there")
		m.React(nil)
		close(answer)

		require.Equal(t, int64(2), c.Await("the first withheld", func(e apptest.Event) bool { return e.Typename == "DeliveryFailed" }).MessageSeq)
		require.Equal(t, int64(3), c.Await("the second withheld", func(e apptest.Event) bool { return e.Typename == "DeliveryFailed" }).MessageSeq)
		agent.Tells(humanEnded)
		epoch := backWithAgent(c, "OPERATOR_ENDED")
		c.AgentWrites(epoch, "I am back.")
		m.AwaitDid(t, "SAY AGENT I am back.")
		require.Equal(t, []string{"SAY AGENT Let me see.", "SAY AGENT I am back."}, m.Did(), "nothing is opened, nothing is said over the human")
		c.Log()
	})
}

// The desk does what it was asked, and does not say so in time.
func TestAnUnknownOutcomeInTheMessenger(t *testing.T) {
	for _, finds := range []bool{true, false} {
		name := map[bool]string{true: "the desk is asked", false: "it is repeated and marked"}[finds]
		t.Run(name, func(t *testing.T) {
			apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
				m := &apptest.Messenger{Kind: "messenger", Channel: handoff.ChannelIntercom, FindsSaid: finds}
				m.React(func(ctx context.Context, what string, repeat bool) error {
					if repeat || what != "SAY AGENT Let me see." {
						return nil
					}
					<-ctx.Done()
					f := fault.Wrap(fault.DeskUnavailable, ctx.Err(), "no answer")
					f.Sent = fault.MaybeSent
					return f
				})
				s := apptest.Start(t, d, apptest.Options{Drivers: []desk.Driver{m}, Pace: app.Pace{Attempt: 200 * time.Millisecond}})
				agent := s.NewAgent(t).WithMessenger(m)
				agent.Tells(userWrote("1", "Hello?"))
				c := agent.InMessenger(agent.Awaiting().Await(t, 1, 1).Conversation.ID)
				c.AgentWrites(1, "Let me see.")
				c.AgentWrites(1, "Here it is.")
				m.AwaitDid(t, "SAY AGENT Here it is.")
				if finds {
					require.Equal(t, []string{"SAY AGENT Let me see.", "SAY AGENT Here it is."}, m.Did())
					return
				}
				require.Equal(t, []string{"SAY AGENT Let me see.", "SAY AGENT Let me see.", "SAY AGENT Here it is."}, m.Did())
			})
		})
	}
}

// Nobody answers in time: the desk takes the session back, and what the User wrote
// meanwhile is the Agent's.
func TestNobodyAnswersInTheMessenger(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		clock := apptest.NewClock()
		m := &apptest.Messenger{Kind: "messenger", Channel: handoff.ChannelIntercom}
		s := apptest.Start(t, d, apptest.Options{Drivers: []desk.Driver{m}, Clock: clock})
		agent := s.NewAgent(t).WithMessenger(m)
		agent.Tells(userWrote("1", "A person, please."))
		runtime := agent.Awaiting()
		c := agent.InMessenger(runtime.Await(t, 1, 1).Conversation.ID)
		c.Connecting(apptest.Vars{"epoch": 1})
		m.AwaitDid(t, "SAY SYSTEM "+handoff.StandardText(handoff.NoticeConnecting, "en"))
		agent.Tells(userWrote("2", "Anybody?"))
		// A lease must not end, by the clock, while its worker is at work.
		apptest.Eventually(t, "nothing to deliver", func() bool { return len(agent.Deliveries("")) == 0 })
		clock.Advance(time.Minute)
		epoch := backWithAgent(c, "WAIT_TIMEOUT")
		require.Equal(t, c.ID, runtime.Await(t, epoch, 1).Conversation.ID)
		ended := "SAY SYSTEM " + handoff.StandardText(handoff.NoticeEndedByTimeout, "en")
		m.AwaitDid(t, ended)
		require.Equal(t, []string{"OPEN ref", "SAY SYSTEM " + handoff.StandardText(handoff.NoticeConnecting, "en"), "CLOSE ref WAIT_TIMEOUT", ended}, m.Did())
		c.Log()
	})
}
