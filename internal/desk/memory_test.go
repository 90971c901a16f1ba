package desk

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
)

// sealedMemory is a [handoff.DeskMemoryStore] in memory.
type sealedMemory struct {
	values   map[string]string
	versions map[string]int64
	at       time.Time
}

func (m *sealedMemory) DeskMemory(_ context.Context, connectionID, key string) (string, int64, error) {
	return m.values[connectionID+" "+key], m.versions[connectionID+" "+key], nil
}

func (m *sealedMemory) SetDeskMemory(_ context.Context, connectionID, key, sealed string, version int64, now time.Time) (int64, bool, error) {
	row := connectionID + " " + key
	if m.versions[row] != version {
		return 0, false, nil
	}
	m.at = now
	if sealed == "" {
		delete(m.values, row)
		delete(m.versions, row)
		return 0, true, nil
	}
	m.values[row], m.versions[row] = sealed, version+1
	return version + 1, true, nil
}

func TestMemory(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	store := &sealedMemory{values: map[string]string{}, versions: map[string]int64{}}
	driver := &stubDriver{kind: "stub"}
	c, err := NewCatalog(CatalogOptions{
		Drivers: []Driver{driver}, Sealer: plainSealer{}, Memory: store, HTTP: http.DefaultClient,
		Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	memoryOf := func(id string) Memory {
		_, err := c.For(t.Context(), connection(id))
		require.NoError(t, err)
		return driver.connected[len(driver.connected)-1].Memory
	}
	m, other, ctx := memoryOf("con_1"), memoryOf("con_2"), t.Context()

	value, version, err := m.Get(ctx, "user/1")
	require.NoError(t, err)
	require.Nil(t, value)
	require.Zero(t, version)
	version, err = m.Put(ctx, "user/1", []byte("canary"), 0)
	require.NoError(t, err)
	require.Equal(t, now, store.at)
	require.Equal(t, "con_1/user/1|canary", store.values["con_1 user/1"], "bound to connection and key")
	value, read, err := m.Get(ctx, "user/1")
	require.NoError(t, err)
	require.Equal(t, "canary", string(value))
	require.Equal(t, version, read)
	value, _, err = other.Get(ctx, "user/1")
	require.NoError(t, err)
	require.Nil(t, value)

	_, err = m.Put(ctx, "user/1", []byte("late"), 0)
	require.ErrorIs(t, err, ErrMemoryChanged)
	_, err = m.Put(ctx, "empty", []byte{}, 0)
	require.NoError(t, err)
	value, version, err = m.Get(ctx, "empty")
	require.NoError(t, err)
	require.Empty(t, value)
	require.NotZero(t, version, "an empty value is a value")
	_, err = m.Put(ctx, "empty", nil, version)
	require.NoError(t, err)
	_, version, err = m.Get(ctx, "empty")
	require.NoError(t, err)
	require.Zero(t, version)

	// A row that was moved to another key or connection does not open.
	store.values["con_1 moved"], store.versions["con_1 moved"] = store.values["con_1 user/1"], 1
	_, _, err = m.Get(ctx, "moved")
	require.Equal(t, fault.Internal, fault.KindOf(err))

	for _, bad := range []string{"", strings.Repeat("k", 201), "nul\x00", "\xff"} {
		_, _, err = m.Get(ctx, bad)
		require.Equal(t, "key", fault.As(err).Field)
		_, err = m.Put(ctx, bad, []byte("v"), 0)
		require.Equal(t, "key", fault.As(err).Field)
	}
	_, err = m.Put(ctx, strings.Repeat("k", 200), make([]byte, 8<<10), 0)
	require.NoError(t, err)
	_, err = m.Put(ctx, "k", make([]byte, 8<<10+1), 0)
	require.Equal(t, "value", fault.As(err).Field)
}

func TestWithoutAConnectionNothingIsRemembered(t *testing.T) {
	t.Parallel()
	driver := &stubDriver{kind: "stub"}
	store := &sealedMemory{values: map[string]string{}, versions: map[string]int64{}}
	for _, o := range []CatalogOptions{{Memory: store}, {}} {
		o.Drivers, o.Sealer, o.HTTP, o.Now, o.Log = []Driver{driver}, plainSealer{}, http.DefaultClient, time.Now, slog.New(slog.DiscardHandler)
		c, err := NewCatalog(o)
		require.NoError(t, err)
		t.Cleanup(c.Close)
		require.NoError(t, c.Check("stub", connection("").Mode, map[string]string{"url": "u"}))
		m := driver.connected[len(driver.connected)-1].Memory
		_, err = m.Put(t.Context(), "k", []byte("v"), 0)
		require.NoError(t, err)
		_, version, err := m.Get(t.Context(), "k")
		require.NoError(t, err)
		require.Zero(t, version)
		require.Empty(t, store.values)
	}
}
