package app_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/app/apptest"
)

// TestNoLateAgentMessage has an Agent that goes on talking while it hands over and
// while it gets the chat back. Whatever the race, each of its messages is either in
// the log, where its epoch had control, or refused and nowhere.
func TestNoLateAgentMessage(t *testing.T) {
	const rounds = 10
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		s := apptest.Start(t, d, apptest.Options{})
		agent := s.NewAgent(t).WithBuiltin()
		var mu sync.Mutex
		var all talk
		inParallel(t, 4, rounds, func(int) error {
			c, err := agent.TryConverse(nil)
			if err != nil {
				return err
			}
			round := talk{conversation: c}
			err = round.takeover()
			mu.Lock()
			defer mu.Unlock()
			all.shown = append(all.shown, round.shown...)
			all.refused = append(all.refused, round.refused...)
			return err
		})
		require.NotEmpty(t, all.shown)
		require.NotEmpty(t, all.refused)
		t.Logf("in %d rounds %d messages were in time and %d late", rounds, len(all.shown), len(all.refused))
	})
}

// talk is what an Agent says in a Conversation from several goroutines.
type talk struct {
	conversation *apptest.Conversation

	mu             sync.Mutex
	shown, refused []string
	err            error
}

// takeover plays one handoff under the Agent's talk.
func (k *talk) takeover() error {
	c := k.conversation
	var asked apptest.Requested
	k.during(func() (err error) {
		asked, err = c.TryRequest(apptest.Vars{"epoch": 1, "waitSeconds": 30})
		return err
	}, 1)
	if k.err != nil {
		return k.err
	}
	k.during(func() error { return c.TryBuiltinWrites(asked.Handoff.ID, "Hello, this is support.") }, 1, 2)
	k.during(func() error {
		_, err := c.TryOwnerEnds()
		return err
	}, 2, 3)
	k.say(1, 0)
	k.say(3, 0)
	if k.err != nil {
		return k.err
	}
	log, err := c.TryLog()
	if err != nil {
		return err
	}
	return k.compare(log)
}

// during says something under each of the epochs, again and again, while act runs.
func (k *talk) during(act func() error, epochs ...int64) {
	var group sync.WaitGroup
	for _, epoch := range epochs {
		group.Go(func() {
			for i := range 3 {
				k.say(epoch, i)
			}
		})
	}
	err := act()
	group.Wait()
	k.failed(err)
}

func (k *talk) say(epoch int64, i int) {
	text := fmt.Sprintf("epoch %d, message %d of %d", epoch, i, len(k.all()))
	err := k.conversation.TryAgentWrites(epoch, text)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch apptest.CodeOf(err) {
	case "":
		k.shown = append(k.shown, text)
	case "STALE_CONTROL":
		k.refused = append(k.refused, text)
	default:
		k.err = err
	}
}

func (k *talk) all() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Concat(k.shown, k.refused)
}

func (k *talk) failed(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		k.err = err
	}
}

// compare wants exactly the accepted messages in the log, each where control was of
// the epoch that it names.
func (k *talk) compare(log []apptest.Event) error {
	shown := apptest.TextsBy(log, "AGENT")
	slices.Sort(shown)
	slices.Sort(k.shown)
	if !slices.Equal(k.shown, shown) {
		return fmt.Errorf("accepted were %q, shown are %q", k.shown, shown)
	}
	epoch := int64(1)
	for _, e := range log {
		if e.Typename == "ControlChanged" {
			epoch = e.Epoch
		}
		var written int64
		if e.Author != "AGENT" {
			continue
		}
		if _, err := fmt.Sscanf(e.Text, "epoch %d", &written); err != nil || written != epoch {
			return fmt.Errorf("under epoch %d: %v", epoch, e)
		}
	}
	return nil
}
