package app_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/app/apptest"
)

func TestHandoffAtTheWebhookDesk(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		s := apptest.Start(t, d, apptest.Options{})
		desk := apptest.NewDesk(t)
		agent := s.NewAgent(t).WithWebhook(desk)
		c := agent.Converse(apptest.Vars{"channel": "WIDGET", "user": apptest.Vars{
			"id": "member-20417", "anonymousId": "browser-7", "email": "mei.lin@example.com", "phone": "+886912345678",
		}})

		c.UserWrites("Do you ship to Penghu?")
		c.AgentWrites(1, "Yes, in five days.")
		posted := c.UserWrites("Let me talk to a person.")
		require.Equal(t, "AGENT", posted.Control)
		asked := c.Request(apptest.Vars{"epoch": 1, "note": "for the operator", "summary": "a parcel", "waitSeconds": 30})
		require.Equal(t, "CONNECTING", asked.Outcome)
		require.Equal(t, "for the operator", asked.Handoff.Note)
		connecting := c.Await("connecting", apptest.Notice("CONNECTING"))
		require.Equal(t, 29, connecting.StatusCode)

		opened := desk.CallsOf(asked.Handoff.DeskRef)
		require.Equal(t, []string{apptest.Establish}, apptest.Paths(opened))
		require.Equal(t, []apptest.Round{
			{MessageType: "QUESTION", Text: "Do you ship to Penghu?"},
			{MessageType: "ANSWER", Text: "Yes, in five days."},
			{MessageType: "QUESTION", Text: "Let me talk to a person."},
			{MessageType: "ANSWER", Text: ""}, // as in the documented sample
		}, opened[0].Rounds)
		require.Equal(t, agent.ID, opened[0].BotID)
		require.Equal(t, "mei.lin@example.com", opened[0].Email)
		require.Equal(t, "member-20417", *opened[0].UserInfo.UserID)
		require.Equal(t, "browser-7", *opened[0].UserInfo.AnonymousID)
		require.NotContains(t, string(opened[0].Raw), "for the operator", "the contract has no field for the note")
		require.NotEqual(t, c.ID, opened[0].ConversationID)

		who, epoch := control(c)
		require.Equal(t, "HANDOFF", who)
		require.EqualValues(t, 2, epoch)
		require.Equal(t, "STALE_CONTROL", apptest.CodeOf(c.TryAgentWrites(1, "a late answer")))
		require.Equal(t, "STALE_CONTROL", apptest.CodeOf(c.TryAgentWrites(2, "an answer without control")))
		require.Equal(t, "ALREADY_ACTIVE", c.Request(nil).Outcome)

		require.Equal(t, "HANDOFF", c.UserWrites("Are you there?").Control)
		desk.AwaitSeen(t, asked.Handoff.DeskRef, 2)
		answer, err := c.TryOperatorWrites(asked.Handoff.DeskRef, "Hello, this is support.", apptest.Vars{
			"agent_name": "Jo", "files": []apptest.Vars{{"url": "https://files.example.com/label.pdf", "name": "label.pdf"}},
		})
		require.NoError(t, err)
		require.Equal(t, apptest.Taken, answer)
		require.Equal(t, 31, c.Await("connected", apptest.Notice("CONNECTED")).StatusCode)
		hello := c.Await("the operator", apptest.Text("Hello, this is support."))
		require.Equal(t, "OPERATOR", hello.Author)
		require.Equal(t, "Jo", hello.OperatorName)
		require.Equal(t, "https://files.example.com/label.pdf", hello.Attachments[0].URL)
		c.UserWrites("It is order 4711.")
		c.OperatorWrites("It arrives today.")
		c.UserWrites("Thanks!")
		desk.AwaitSeen(t, asked.Handoff.DeskRef, 4)
		c.OperatorEnds()
		require.Equal(t, 34, c.Await("told of the end", apptest.Notice("ENDED_BY_OPERATOR")).StatusCode)
		require.EqualValues(t, 3, c.Await("control back", apptest.Control("AGENT")).Epoch)

		late, err := c.TryOperatorWrites(asked.Handoff.DeskRef, "One more thing", nil)
		require.NoError(t, err)
		require.Equal(t, 409, late.Status)
		back := c.ReturnPackage()
		require.Equal(t, "OPERATOR_ENDED", back.Reason)
		require.Contains(t, back.Marker, "has ended")
		require.Equal(t, []string{"Hello, this is support.", "It arrives today."}, apptest.TextsBy(back.Transcript, "OPERATOR"))
		require.Equal(t, []string{"Are you there?", "It is order 4711.", "Thanks!"}, apptest.TextsBy(back.Transcript, "USER"))
		require.Equal(t, []string{"Thanks!"}, apptest.TextsBy(back.Unanswered, "USER"))
		require.Equal(t, "STALE_CONTROL", apptest.CodeOf(c.TryAgentWrites(1, "a very late answer")))
		c.AgentWrites(3, "Anything else?")

		second := c.Connecting(apptest.Vars{"epoch": 3})
		require.NotEqual(t, asked.Handoff.DeskRef, second.DeskRef)
		c.OperatorWrites("Hello again.")
		c.Await("connected again", apptest.Text("Hello again."))
		ended, err := c.TryUserEnds()
		require.NoError(t, err)
		require.Equal(t, "USER_ENDED", ended.Reason)
		require.EqualValues(t, 5, backWithAgent(c, "USER_ENDED"))
		closed := desk.AwaitSeen(t, second.DeskRef, 2)
		require.Equal(t, []string{apptest.Establish, apptest.Close}, apptest.Paths(closed))
		require.Equal(t, "USER_CLOSED", closed[1].Type)

		require.Equal(t, []string{apptest.Establish, apptest.Chat, apptest.Chat, apptest.Chat},
			apptest.Paths(desk.CallsOf(asked.Handoff.DeskRef)), "one establish, every message once, no echo of the operator's end")
		log := c.Log()
		require.Equal(t, log, c.Stream.Events(), "the chat received the log")
		require.Equal(t, []string{"Yes, in five days.", "Anything else?"}, apptest.TextsBy(log, "AGENT"))
		require.Equal(t, []string{"Hello, this is support.", "It arrives today.", "Hello again."}, apptest.TextsBy(log, "OPERATOR"))
		apptest.Eventually(t, "no delivery is left", func() bool { return len(agent.Deliveries("")) == 0 })
	})
}

func TestHandoffAtTheBuiltinDesk(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		s := apptest.Start(t, d, apptest.Options{})
		agent := s.NewAgent(t).WithBuiltin()
		c := agent.Converse(nil)
		c.UserWrites("Let me talk to a person.")
		h := c.Connecting(apptest.Vars{"epoch": 1, "note": "parcel is late"})

		queue := func() []apptest.Handoff {
			var read struct {
				OperatorQueue struct{ Nodes []apptest.Handoff }
			}
			agent.Runtime.Do(`query($a: ID!) { operatorQueue(agentId: $a) { nodes { id state note claimedBy } } }`,
				apptest.Vars{"a": agent.ID}, &read)
			return read.OperatorQueue.Nodes
		}
		require.Equal(t, []apptest.Handoff{{ID: h.ID, State: "WAITING", Note: "parcel is late"}}, queue())
		agent.Runtime.Do(`mutation($h: ID!) { claimHandoff(input: {handoffId: $h, operator: "Jo"}) { handoff { claimedBy } } }`,
			apptest.Vars{"h": h.ID}, nil)
		require.Equal(t, "WAITING", c.Handoff().State, "a claim connects nobody")
		err := agent.Runtime.Try(`mutation($h: ID!) { postOperatorMessage(input: {handoffId: $h, operator: "Kim", text: "Mine!"}) { message { id } } }`,
			apptest.Vars{"h": h.ID}, nil)
		require.Equal(t, "NOT_ALLOWED_IN_STATE", apptest.CodeOf(err), "another operator has claimed it")

		c.OperatorWrites("It arrives today.")
		c.Await("connected", apptest.Notice("CONNECTED"))
		require.Equal(t, "Jo", c.Await("the operator", apptest.Text("It arrives today.")).OperatorName)
		c.UserWrites("Thanks!")
		c.OperatorEnds()
		require.EqualValues(t, 3, backWithAgent(c, "OPERATOR_ENDED"))
		require.Empty(t, queue())
		require.Equal(t, []string{"Thanks!"}, apptest.TextsBy(c.ReturnPackage().Unanswered, "USER"))
		require.Equal(t, "NOT_ALLOWED_IN_STATE", apptest.CodeOf(c.TryBuiltinWrites(h.ID, "One more thing")))

		second := c.Connected(nil)
		require.NotEqual(t, h.ID, second.ID)
		_, err = c.TryUserEnds()
		require.NoError(t, err)
		require.EqualValues(t, 5, backWithAgent(c, "USER_ENDED"))
		require.Equal(t, c.Log(), c.Stream.Events())
	})
}

func TestEveryWayToEnd(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		s := apptest.Start(t, d, apptest.Options{})
		for name, story := range map[string]struct {
			end       func(t *testing.T, c *apptest.Conversation)
			reason    string
			closeType string // what the desk is told
			notice    string
		}{
			"the user": {func(t *testing.T, c *apptest.Conversation) {
				_, err := c.TryUserCancels()
				require.Equal(t, "NOT_ALLOWED_IN_STATE", apptest.CodeOf(err), "it is too late to withdraw")
				for range 2 { // the second time it is over already
					_, err = c.TryUserEnds()
					require.NoError(t, err)
				}
			}, "USER_ENDED", "USER_CLOSED", "ENDED_BY_USER"},
			"the agent's owner": {func(t *testing.T, c *apptest.Conversation) {
				_, err := c.TryOwnerEnds()
				require.NoError(t, err)
			}, "ADMIN_ENDED", "USER_CLOSED", "ENDED"},
			"switching off": {func(t *testing.T, c *apptest.Conversation) {
				c.Set(apptest.Vars{"enabled": false})
				require.Equal(t, "NOT_READY", c.Request(nil).Outcome)
			}, "HANDOFF_DISABLED", "USER_CLOSED", "ENDED"},
			"disconnecting the desk": {func(t *testing.T, c *apptest.Conversation) {
				c.Runtime.Do(`mutation($id: ID!) { disconnectDesk(input: {deskConnectionId: $id}) { agent { ready settings { enabled } } } }`,
					apptest.Vars{"id": c.Connection.ID}, nil)
				require.Len(t, c.Desk.CallsOf(c.Handoff().DeskRef), 2, "the desk heard of the end before its credentials were removed")
				err := c.Runtime.Try(`query($id: ID!) { deskConnection(id: $id) { id } }`, apptest.Vars{"id": c.Connection.ID}, nil)
				require.Equal(t, "NOT_FOUND", apptest.CodeOf(err))
				require.Equal(t, "NOT_READY", c.Request(nil).Outcome)
				status, ready := c.Status()
				require.Equal(t, "NOT_CONFIGURED", status)
				require.False(t, ready)
			}, "HANDOFF_DISABLED", "USER_CLOSED", "ENDED"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				desk := apptest.NewDesk(t)
				c := s.NewAgent(t).WithWebhook(desk).Converse(nil)
				h := c.Connected(nil)
				story.end(t, c)
				c.Await("told of the end", apptest.Notice(story.notice))
				c.Await("control back", apptest.Control("AGENT"))
				require.Equal(t, story.reason, c.Handoff().Reason)
				calls := desk.AwaitSeen(t, h.DeskRef, 2)
				require.Equal(t, []string{apptest.Establish, apptest.Close}, apptest.Paths(calls))
				require.Equal(t, story.closeType, calls[1].Type)
				c.AgentWrites(3, "I am back.")
				c.Log()
			})
		}
	})
}

func TestUserWithdrawsBeforeAnybodyAnswered(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		s := apptest.Start(t, d, apptest.Options{})
		desk := apptest.NewDesk(t)
		c := s.NewAgent(t).WithWebhook(desk).Converse(nil)
		h := c.Connecting(nil)
		cancelled, err := c.TryUserCancels()
		require.NoError(t, err)
		require.Equal(t, "USER_CANCELLED", cancelled.Reason)
		backWithAgent(c, "USER_CANCELLED")
		require.Equal(t, "USER_CLOSED", desk.AwaitSeen(t, h.DeskRef, 2)[1].Type)

		// While the desk is still being asked.
		release := make(chan struct{})
		desk.Script(func(apptest.Call) apptest.Reaction { return apptest.Reaction{Hold: release} })
		asked := c.Request(nil)
		require.Equal(t, "REQUESTING", asked.Outcome)
		desk.Await(t, "the establish", func(call apptest.Call) bool { return call.ConversationID == asked.Handoff.DeskRef })
		_, err = c.TryUserCancels()
		require.NoError(t, err)
		backWithAgent(c, "USER_CANCELLED")
		close(release)
		calls := desk.AwaitSeen(t, asked.Handoff.DeskRef, 2)
		require.Equal(t, []string{apptest.Establish, apptest.Close}, apptest.Paths(calls), "what was opened is closed")
		require.Zero(t, apptest.Count(c.Log(), func(e apptest.Event) bool {
			return e.Notice == "CONNECTING" && e.HandoffID == asked.Handoff.ID
		}), "nothing is promised after the end")
	})
}

func TestDeletingAnAgentEndsEverything(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		s := apptest.Start(t, d, apptest.Options{})
		desk := apptest.NewDesk(t)
		agent := s.NewAgent(t).WithWebhook(desk)
		c := agent.Converse(nil)
		h := c.Connected(nil)
		agent.Admin.Do(`mutation($id: ID!) { deleteAgent(input: {agentId: $id}) { deletedAgentId } }`, apptest.Vars{"id": agent.ID}, nil)
		backWithAgent(c, "ADMIN_ENDED")
		require.Equal(t, []string{apptest.Establish, apptest.Close}, apptest.Paths(desk.Seen(h.DeskRef)), "the desk heard of it in time")

		_, err := c.TryUserWrites("Hello?", nil)
		require.Contains(t, []string{"NOT_FOUND", "UNAUTHENTICATED"}, apptest.CodeOf(err))
		err = agent.Admin.Try(`query($id: ID!) { agent(id: $id) { id } }`, apptest.Vars{"id": agent.ID}, nil)
		require.Equal(t, "NOT_FOUND", apptest.CodeOf(err))
		answer := s.Human(t, apptest.ReceivePath, agent.Key(), apptest.Vars{"conversation_id": h.DeskRef, "timestamp": 1, "body": "Hello?"})
		require.Equal(t, 401, answer.Status)
		require.Equal(t, 40127, answer.Code)
	})
}
