package model_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/graph/model"
)

func TestLookupAsksOnceForEachThing(t *testing.T) {
	t.Parallel()
	var loads atomic.Int64
	l := model.NewLookup(func(_ context.Context, id string) (string, error) {
		loads.Add(1)
		if id == "broken" {
			return "", errors.New("broken")
		}
		return "the " + id, nil
	})
	var group sync.WaitGroup
	for range 10 {
		for _, id := range []string{"one", "two", "broken"} {
			group.Go(func() {
				found, err := l.Get(t.Context(), id)
				if id == "broken" {
					if err == nil {
						t.Error("the error is remembered too")
					}
				} else if found != "the "+id {
					t.Errorf("%s gave %q", id, found)
				}
			})
		}
	}
	group.Wait()
	require.EqualValues(t, 3, loads.Load())
}
