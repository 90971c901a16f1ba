package desk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// stubDriver remembers what it was connected with.
type stubDriver struct {
	kind      string
	err       error
	desk      Desk
	perSecond int
	connected []Settings
}

func (d *stubDriver) Describe() handoff.DeskDescription {
	return handoff.DeskDescription{
		Kind: d.kind, Title: "Stub", RequestsPerSecond: d.perSecond, Modes: []handoff.Mode{handoff.ModeExternalToDesk},
		Fields: []handoff.CredentialField{{Name: "url"}, {Name: "token", Secret: true}, {Name: "color", Default: "red"}},
	}
}

func (d *stubDriver) Connect(s Settings) (Desk, error) {
	d.connected = append(d.connected, s)
	if d.err != nil {
		return nil, d.err
	}
	if d.desk != nil {
		return d.desk, nil
	}
	return &stub{}, nil
}

// plainSealer seals by writing the place in front.
type plainSealer struct{}

func (plainSealer) Seal(aad string, plain []byte) (string, error) {
	return aad + "|" + string(plain), nil
}

func (plainSealer) Open(aad, sealed string) ([]byte, error) {
	plain, ok := bytes.CutPrefix([]byte(sealed), []byte(aad+"|"))
	if !ok {
		return nil, fault.New(fault.Internal, "sealed elsewhere")
	}
	return plain, nil
}

func newCatalog(t *testing.T, drivers ...Driver) *Catalog {
	t.Helper()
	c, err := NewCatalog(CatalogOptions{
		Drivers: drivers, Sealer: plainSealer{}, HTTP: http.DefaultClient, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func connection(id string) handoff.Connection {
	return handoff.Connection{
		ID: id, Kind: "stub", Mode: handoff.ModeExternalToDesk, Version: 1,
		Fields: map[string]string{"url": "u"}, Sealed: id + `|{"token":"canary"}`,
	}
}

func TestCatalogLists(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, &stubDriver{kind: "b"}, &stubDriver{kind: "a"})
	var kinds []string
	for _, d := range c.Descriptions() {
		kinds = append(kinds, d.Kind)
	}
	require.Equal(t, []string{"b", "a"}, kinds)
	d, ok := c.Describe("a")
	require.True(t, ok)
	require.Equal(t, "a", d.Kind)
	_, ok = c.Describe("c")
	require.False(t, ok)

	_, err := NewCatalog(CatalogOptions{Drivers: []Driver{&stubDriver{kind: "a"}, &stubDriver{kind: "a"}}})
	require.ErrorContains(t, err, `"a"`)
}

func TestCatalogConnects(t *testing.T) {
	t.Parallel()
	driver := &stubDriver{kind: "stub"}
	c := newCatalog(t, driver)
	_, err := c.For(t.Context(), connection("con_1"))
	require.NoError(t, err)
	s := driver.connected[0]
	require.Equal(t, map[string]string{"url": "u", "token": "canary", "color": "red"}, s.Fields)
	require.Equal(t, "con_1", s.ConnectionID)
	require.Equal(t, handoff.ModeExternalToDesk, s.Mode)
	require.NotNil(t, s.HTTP)
	require.NotNil(t, s.Now)
}

func TestCatalogKeepsADeskWhileItsCredentialsStay(t *testing.T) {
	t.Parallel()
	driver := &stubDriver{kind: "stub"}
	c := newCatalog(t, driver)
	get := func(change func(*handoff.Connection)) Desk {
		in := connection("con_1")
		if change != nil {
			change(&in)
		}
		d, err := c.For(t.Context(), in)
		require.NoError(t, err)
		return d
	}
	first := get(nil)
	require.Same(t, first, get(nil))
	require.Same(t, first, get(func(c *handoff.Connection) { c.Version, c.Status = 9, handoff.StatusUnavailable }))
	require.Len(t, driver.connected, 1)

	second := get(func(c *handoff.Connection) { c.Fields["url"] = "v" })
	require.NotSame(t, first, second)
	third := get(nil)
	require.NotSame(t, second, third)
	require.NotSame(t, third, get(func(c *handoff.Connection) { c.Sealed = `con_1|{"token":"new"}` }))
	last := get(nil)
	c.Forget("con_1")
	c.Forget("con_unknown")
	require.NotSame(t, last, get(nil))
}

func TestCatalogIsNotChangedFromOutside(t *testing.T) {
	t.Parallel()
	driver := &stubDriver{kind: "stub"}
	c := newCatalog(t, driver)
	in := connection("con_1")
	_, err := c.For(t.Context(), in)
	require.NoError(t, err)
	in.Fields["url"] = "changed in place"
	_, err = c.For(t.Context(), in)
	require.NoError(t, err)
	require.Len(t, driver.connected, 2)
}

func TestCatalogIsBounded(t *testing.T) {
	t.Parallel()
	driver := &stubDriver{kind: "stub"}
	c := newCatalog(t, driver)
	id := func(n int) string { return fmt.Sprintf("con_%d", n) }
	kept, err := c.For(t.Context(), connection(id(0)))
	require.NoError(t, err)
	for n := 1; n < MaxConnected+10; n++ {
		_, err := c.For(t.Context(), connection(id(n)))
		require.NoError(t, err)
		again, err := c.For(t.Context(), connection(id(0)))
		require.NoError(t, err)
		require.Same(t, kept, again, "what is used stays")
	}
	require.Len(t, c.connected, MaxConnected)
	require.Equal(t, MaxConnected, c.order.Len())
	before := len(driver.connected)
	_, err = c.For(t.Context(), connection(id(1)))
	require.NoError(t, err)
	require.Len(t, driver.connected, before+1, "the one that was not used longest was dropped")
}

func TestCatalogRefuses(t *testing.T) {
	t.Parallel()
	driver := &stubDriver{kind: "stub"}
	c := newCatalog(t, driver)
	for name, test := range map[string]struct {
		change func(*handoff.Connection)
		kind   fault.Kind
		field  string
	}{
		"unknown kind":   {func(c *handoff.Connection) { c.Kind = "fax" }, fault.InvalidInput, "kind"},
		"other mode":     {func(c *handoff.Connection) { c.Mode = handoff.ModeDeskToDesk }, fault.InvalidInput, "mode"},
		"sealed by else": {func(c *handoff.Connection) { c.Sealed = `con_2|{"token":"canary"}` }, fault.Internal, ""},
		"unreadable":     {func(c *handoff.Connection) { c.Sealed = `con_1|{"token":"canary`; c.Version = 2 }, fault.Internal, ""},
	} {
		in := connection("con_1")
		test.change(&in)
		_, err := c.For(t.Context(), in)
		f := fault.As(err)
		require.Equal(t, test.kind, f.Kind, name)
		require.Equal(t, test.field, f.Field, name)
		require.NotContains(t, fmt.Sprint(f, f.Cause), "canary", name)
	}
	driver.err = fault.Invalid("fields.url", "no")
	_, err := c.For(t.Context(), connection("con_1"))
	require.Equal(t, "fields.url", fault.As(err).Field)
	require.Equal(t, "fields.url", fault.As(c.Verify(t.Context(), connection("con_1"))).Field)
	require.Empty(t, c.connected, "failures are not kept")
}

func TestCatalogChecksWithoutKeeping(t *testing.T) {
	t.Parallel()
	driver := &stubDriver{kind: "stub"}
	c := newCatalog(t, driver)
	require.NoError(t, c.Check("stub", handoff.ModeExternalToDesk, map[string]string{"url": "u", "token": "t"}))
	require.Equal(t, map[string]string{"url": "u", "token": "t", "color": "red"}, driver.connected[0].Fields)
	require.Empty(t, c.connected)
	require.Equal(t, "kind", fault.As(c.Check("fax", handoff.ModeExternalToDesk, nil)).Field)
	require.Equal(t, "mode", fault.As(c.Check("stub", handoff.ModeDeskToDesk, nil)).Field)
}

func TestCatalogVerifies(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, &stubDriver{kind: "stub", desk: &stub{err: failing(fault.DeskUnauthorized)}})
	require.Equal(t, fault.DeskUnauthorized, fault.KindOf(c.Verify(t.Context(), connection("con_1"))))
}

func TestCatalogWatches(t *testing.T) {
	t.Parallel()
	w := &watched{}
	c, err := NewCatalog(CatalogOptions{
		Drivers: []Driver{&stubDriver{kind: "stub"}}, Sealer: plainSealer{}, Now: time.Now, Watch: w.watch(),
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	d, err := c.For(t.Context(), connection("con_1"))
	require.NoError(t, err)
	_, err = d.Open(t.Context(), OpenRequest{})
	require.NoError(t, err)
	require.Equal(t, []fault.Kind{""}, w.take())
	require.Equal(t, []string{"stub open ok"}, w.observed)
}

func TestCatalogSignals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		started := make(chan string, 2*maxSignals)
		d := &typist{typed: func(ctx context.Context, ref string) error {
			started <- ref
			<-ctx.Done()
			return ctx.Err()
		}}
		var log bytes.Buffer
		c, err := NewCatalog(CatalogOptions{
			Drivers: []Driver{&stubDriver{kind: "stub", desk: d}}, Sealer: plainSealer{}, Now: time.Now,
			Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		typing := handoff.Signal{Author: handoff.AuthorUser, Kind: handoff.SignalTyping}
		open := handoff.Handoff{DeskRef: "ref"}

		c.Signal(ctx, connection("con_1"), open, handoff.Signal{Author: handoff.AuthorOperator, Kind: handoff.SignalTyping})
		c.Signal(ctx, connection("con_1"), open, handoff.Signal{Author: handoff.AuthorUser, Kind: handoff.SignalRead})
		c.Signal(ctx, connection("con_1"), handoff.Handoff{}, typing)
		broken := connection("con_1")
		broken.Kind = "fax"
		c.Signal(ctx, broken, open, typing)
		synctest.Wait()
		require.Empty(t, started, "none of these is for the desk")

		for range maxSignals + 5 {
			c.Signal(ctx, connection("con_1"), open, typing) // returns although the desk hangs
		}
		synctest.Wait()
		require.Len(t, started, maxSignals)
		cancel() // the callers' requests are over; the signals go on
		synctest.Wait()
		c.Signal(t.Context(), connection("con_1"), open, typing)
		synctest.Wait()
		require.Len(t, started, maxSignals, "still under way")
		require.Equal(t, "ref", <-started)
		time.Sleep(signalTimeout + time.Millisecond)
		synctest.Wait()
		c.Signal(t.Context(), connection("con_1"), open, typing)
		synctest.Wait()
		require.Len(t, started, maxSignals, "there is room again")
		before := time.Now()
		c.Close()
		require.Equal(t, before, time.Now(), "the signal is abandoned, not waited for")
		c.Signal(t.Context(), connection("con_1"), open, typing)
		synctest.Wait()
		require.Len(t, started, maxSignals)
		require.Contains(t, log.String(), "signal not delivered")
		require.NotContains(t, log.String(), "canary")
	})
}

func TestCatalogRaces(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, &stubDriver{kind: "stub"})
	done := make(chan error)
	for n := range 8 {
		go func() {
			var failed error
			for i := range 200 {
				in := connection(fmt.Sprintf("con_%d", i%3))
				_, err := c.For(context.Background(), in)
				failed = errors.Join(failed, err)
				if i%7 == n%7 {
					c.Forget(in.ID)
				}
			}
			done <- failed
		}()
	}
	for range 8 {
		require.NoError(t, <-done)
	}
}
