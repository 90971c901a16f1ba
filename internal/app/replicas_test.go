package app_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/app/apptest"
)

// startReplicas runs several processes on one Postgres. They share the clock, and
// nothing else but the database.
func startReplicas(t *testing.T, n int, clock *apptest.Clock) []*apptest.Server {
	t.Helper()
	d := apptest.Postgres(t)
	var replicas []*apptest.Server
	for range n {
		replicas = append(replicas, apptest.Start(t, d, apptest.Options{Clock: clock}))
	}
	return replicas
}

func TestReplicasFireDeadlinesOnce(t *testing.T) {
	t.Parallel()
	clock := apptest.NewClock()
	replicas := startReplicas(t, 2, clock)
	agent := replicas[0].NewAgent(t).WithBuiltin()
	var waiting []*apptest.Conversation
	for range 16 {
		c := agent.Converse(nil)
		c.Connecting(nil)
		waiting = append(waiting, c)
	}
	clock.Advance(time.Minute)
	for _, c := range waiting {
		c.Await("asked", apptest.Notice("KEEP_WAITING"))
	}
	clock.Advance(time.Minute)
	for _, c := range waiting {
		backWithAgent(c, "WAIT_TIMEOUT")
		log := c.Log()
		require.Equal(t, 1, apptest.Count(log, apptest.Notice("KEEP_WAITING")))
		require.Equal(t, 1, apptest.Count(log, apptest.Notice("ENDED_BY_TIMEOUT")))
	}
}

// TestReplicasTakeAnything has every step of a conversation done at another replica.
func TestReplicasTakeAnything(t *testing.T) {
	t.Parallel()
	replicas := startReplicas(t, 2, nil)
	first, second := replicas[0], replicas[1]
	desk := apptest.NewDesk(t)
	agent := first.NewAgent(t).WithWebhook(desk)
	c := agent.ConverseUnwatched(nil)
	there := c.Through(t, second.Service)
	c.Stream = second.Subscribe(t, c.UserToken, c.ID, apptest.StreamOptions{})

	there.UserWrites("Let me talk to a person.")
	h := c.Connecting(apptest.Vars{"epoch": 1})
	require.Equal(t, "STALE_CONTROL", apptest.CodeOf(there.TryAgentWrites(1, "a late answer")))
	c.Await("connecting, at the other replica", apptest.Notice("CONNECTING"))
	c.OperatorWrites("Hello, this is support.") // a webhook into the first …
	c.Await("hello, at the other replica", apptest.Text("Hello, this is support."))

	// Messages alternate; whoever delivers them, they arrive once and in order.
	var texts []string
	for i := range 30 {
		text := fmt.Sprintf("message %d", i)
		texts = append(texts, text)
		if i%2 == 0 {
			c.UserWrites(text)
		} else {
			there.UserWrites(text)
		}
	}
	desk.AwaitSeen(t, h.DeskRef, 31)
	there.OperatorEnds()
	c.Await("control back", apptest.Control("AGENT"))
	apptest.Eventually(t, "nothing is left", func() bool { return len(agent.Deliveries("")) == 0 })
	require.Equal(t, texts, apptest.Texts(desk.CallsOf(h.DeskRef)), "without any repeat")
	require.Equal(t, c.Log(), c.Stream.Events())
	c.AgentWrites(3, "I am back.")
}

// TestConsolesSeeWhatOtherReplicasDo: nobody tells this replica, it looks.
func TestConsolesSeeWhatOtherReplicasDo(t *testing.T) {
	t.Parallel()
	replicas := startReplicas(t, 2, nil)
	agent := replicas[0].NewAgent(t).WithBuiltin()
	first := agent.Converse(nil)
	console := first.Through(t, replicas[1].Service).Watch()
	console.Await(t, first.Connecting(nil).ID, "WAITING") // from here on the console is live

	c := agent.Converse(nil)
	h := c.Connecting(nil)
	console.Await(t, h.ID, "WAITING")
	c.OperatorWrites("Hello, this is support.")
	require.Equal(t, "Jo", console.Await(t, h.ID, "ACTIVE").OperatorName)
	c.OperatorEnds()
	require.Equal(t, "OPERATOR_ENDED", console.Await(t, h.ID, "CLOSED").Reason)
}

// TestLaneIsTakenOverAfterItsLease has a replica that hangs in a call: for it time
// stands still. When it wakes up, what it knows is of no use any more.
func TestLaneIsTakenOverAfterItsLease(t *testing.T) {
	t.Parallel()
	d := apptest.Postgres(t)
	first := apptest.Start(t, d, apptest.Options{Clock: apptest.NewClock()})
	desk := apptest.NewDesk(t)
	agent := first.NewAgent(t).WithWebhook(desk)
	c := agent.Converse(nil)
	h := c.Connected(nil)
	var tries atomic.Int64
	wake := make(chan struct{})
	desk.Script(func(call apptest.Call) apptest.Reaction {
		if call.Text == "first" && tries.Add(1) == 1 {
			return apptest.Reaction{Hold: wake}
		}
		return apptest.Reaction{}
	})
	c.UserWrites("first")
	c.UserWrites("second")
	desk.Await(t, "first", func(call apptest.Call) bool { return call.Text == "first" })

	clock := apptest.NewClock()
	second := apptest.Start(t, d, apptest.Options{Clock: clock})
	clock.Advance(time.Minute)
	require.Equal(t, []string{"first", "second"}, apptest.Texts(desk.AwaitSeen(t, h.DeskRef, 3)))
	close(wake)
	c.Through(t, second.Service).UserWrites("third")
	desk.AwaitSeen(t, h.DeskRef, 4)
	apptest.Eventually(t, "nothing is left", func() bool { return len(agent.Deliveries("")) == 0 })
	calls := desk.CallsOf(h.DeskRef)
	require.Equal(t, []string{"first", "first", "second", "third"}, apptest.Texts(calls), "one repeat, of what may not have arrived")
	require.Equal(t, string(calls[1].Raw), string(calls[2].Raw), "the repeat can be recognised: it is the same in every byte")
	c.Log()
}

// TestReplicaTakesOver: what a replica leaves behind when it stops is done by the other.
func TestReplicaTakesOver(t *testing.T) {
	t.Parallel()
	replicas := startReplicas(t, 2, nil)
	desk := apptest.NewDesk(t)
	agent := replicas[0].NewAgent(t).WithWebhook(desk)
	c := agent.ConverseUnwatched(nil)
	h := c.Connected(nil)
	for i := range 10 {
		c.UserWrites(fmt.Sprintf("message %d", i))
	}
	replicas[0].Stop()
	there := c.Through(t, replicas[1].Service)
	calls := desk.AwaitSeen(t, h.DeskRef, 11)
	require.Len(t, apptest.Texts(calls), 10)
	require.Equal(t, "ACTIVE", there.Handoff().State)
	there.UserWrites("and one more")
	desk.AwaitSeen(t, h.DeskRef, 12)
	there.Log()
}
