package app_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/app/apptest"
)

// TestTypedWhileTheDeskIsBeingOpened holds the desk's answer to "establish" while
// the User types 1 to 20 messages, and then lets the desk accept or refuse.
func TestTypedWhileTheDeskIsBeingOpened(t *testing.T) {
	const most = 20
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		s := apptest.Start(t, d, apptest.Options{})
		for _, accepts := range []bool{true, false} {
			t.Run(fmt.Sprintf("accepted %t", accepts), func(t *testing.T) {
				t.Parallel()
				desk := newHoldingDesk(t, accepts)
				agent := s.NewAgent(t).WithWebhook(desk.Desk)
				inParallel(t, 4, most, func(i int) error { return desk.typeWhileOpening(agent, i+1) })
				require.Equal(t, most, len(desk.established()), "one establish each")
			})
		}
	})
}

// holdingDesk answers the establish of a User when it is told to.
type holdingDesk struct {
	*apptest.Desk
	t       *testing.T
	accepts bool

	mu      sync.Mutex
	answers map[string]chan struct{} // by user id
}

func newHoldingDesk(t *testing.T, accepts bool) *holdingDesk {
	d := &holdingDesk{Desk: apptest.NewDesk(t), t: t, accepts: accepts, answers: map[string]chan struct{}{}}
	d.Script(func(call apptest.Call) apptest.Reaction {
		if call.Path != apptest.Establish {
			return apptest.Reaction{}
		}
		r := apptest.Reaction{Hold: d.answer(*call.UserInfo.UserID)}
		if !accepts {
			r.Status = http.StatusBadRequest
		}
		return r
	})
	return d
}

func (d *holdingDesk) answer(userID string) chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.answers[userID] == nil {
		d.answers[userID] = make(chan struct{})
	}
	return d.answers[userID]
}

func (d *holdingDesk) established() []apptest.Call {
	return slices.DeleteFunc(d.Calls(), func(c apptest.Call) bool { return c.Path != apptest.Establish })
}

// typeWhileOpening types n messages before the desk answers.
func (d *holdingDesk) typeWhileOpening(agent *apptest.Agent, n int) error {
	userID := fmt.Sprint("user-", n)
	c, err := agent.TryConverse(apptest.Vars{"user": apptest.Vars{"id": userID}})
	if err != nil {
		return err
	}
	if _, err := c.TryUserWrites("Let me talk to a person.", nil); err != nil {
		return err
	}
	asked, err := c.TryRequest(apptest.Vars{"epoch": 1})
	if err != nil {
		return err
	}
	ref := asked.Handoff.DeskRef
	d.Await(d.t, "the establish", func(call apptest.Call) bool { return call.ConversationID == ref })
	var texts []string
	for i := range n {
		texts = append(texts, fmt.Sprintf("message %d of %d", i+1, n))
		posted, err := c.TryUserWrites(texts[i], apptest.Vars{"idempotencyKey": texts[i]})
		if err != nil || posted.Control != "HANDOFF" {
			return fmt.Errorf("%+v %w", posted, err)
		}
	}
	if _, err := c.TryUserWrites(texts[0], apptest.Vars{"idempotencyKey": texts[0]}); err != nil {
		return err // the same message again
	}
	if before := len(d.CallsOf(ref)); before != 1 {
		return fmt.Errorf("%d calls before the establish was answered", before)
	}
	close(d.answer(userID))

	expected, state := append([]string{}, texts...), "WAITING"
	if !d.accepts {
		expected, state = []string{}, "CLOSED"
	}
	calls := d.AwaitSeen(d.t, ref, 1+len(expected))
	apptest.Eventually(d.t, state, func() bool { return c.Handoff().State == state })
	if !slices.Equal(expected, apptest.Texts(calls)) {
		return fmt.Errorf("typed %q, arrived %q", expected, apptest.Texts(calls))
	}
	if !d.accepts {
		back := c.ReturnPackage()
		if back.Reason != "TRANSFER_FAILED" || !slices.Equal(texts, apptest.TextsBy(back.Unanswered, "USER")) {
			return fmt.Errorf("typed %q, given back %+v", texts, back)
		}
		if err := c.TryAgentWrites(3, "Let me look that up myself."); err != nil {
			return err
		}
	}
	if again := d.CallsOf(ref); len(again) != len(calls) {
		return errors.New("something arrived twice")
	}
	_, err = c.TryLog()
	return err
}
