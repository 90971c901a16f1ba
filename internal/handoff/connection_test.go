package handoff_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

type fields = map[string]string

func TestCheckFields(t *testing.T) {
	t.Parallel()
	d := descriptions[0]
	good := func(change fields) fields {
		f := fields{"url": "https://desk.example", "token": "t"}
		for k, v := range change {
			f[k] = v
		}
		return f
	}
	for name, c := range map[string]struct {
		given fields
		kept  []string
		want  fields // nil = refused
		field string
	}{
		"all that is required": {good(nil), nil, good(fields{"region": "eu"}), ""},
		"trimmed":              {good(fields{"url": " https://desk.example\n", "label": "  "}), nil, good(fields{"region": "eu"}), ""},
		"everything":           {good(fields{"password": "p", "region": "us", "label": "12345"}), nil, good(fields{"password": "p", "region": "us", "label": "12345"}), ""},
		"required is missing":  {fields{"url": "https://desk.example"}, nil, nil, "fields.token"},
		"required is empty":    {good(fields{"token": " "}), nil, nil, "fields.token"},
		"required is kept":     {fields{"url": "https://desk.example"}, []string{"token"}, fields{"url": "https://desk.example", "region": "eu"}, ""},
		"kept, yet emptied":    {fields{"url": "https://desk.example", "token": ""}, []string{"token"}, nil, "fields.token"},
		"unknown":              {good(fields{"colour": "red"}), nil, nil, "fields.colour"},
		"unknown and empty":    {good(fields{"colour": ""}), nil, nil, "fields.colour"},
		"another form":         {good(fields{"url": "http://desk.example"}), nil, nil, "fields.url"},
		"not an option":        {good(fields{"region": "EU"}), nil, nil, "fields.region"},
		"option emptied":       {good(fields{"region": ""}), nil, good(fields{"region": "eu"}), ""},
		"label at its limit":   {good(fields{"label": "ü2345"}), nil, good(fields{"region": "eu", "label": "ü2345"}), ""},
		"label beyond it":      {good(fields{"label": "ü23456"}), nil, nil, "fields.label"},
		"token at the limit":   {good(fields{"token": strings.Repeat("t", 1_024)}), nil, good(fields{"token": strings.Repeat("t", 1_024), "region": "eu"}), ""},
		"token beyond it":      {good(fields{"token": strings.Repeat("t", 1_025)}), nil, nil, "fields.token"},
		"two lines":            {good(fields{"password": "a\nb"}), nil, nil, "fields.password"},
		"not UTF-8":            {good(fields{"password": "\xff"}), nil, nil, "fields.password"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := d.Check(handoff.ModeExternalToDesk, c.given, c.kept)
			if c.want != nil {
				require.NoError(t, err)
				require.Equal(t, c.want, got)
				return
			}
			f := requireInvalid(t, err, c.field)
			if secret := c.given["password"]; secret != "" {
				require.NotContains(t, f.Error(), secret)
			}
		})
	}
	_, err := d.Check(handoff.ModeExternalToDesk, good(fields{"url": "ftp://x"}), nil)
	require.Contains(t, err.Error(), "It begins with https://.", "the hint says how to mend it")
}

// A form asks for the fields of its mode only.
func TestCheckFieldsOfMode(t *testing.T) {
	t.Parallel()
	d := handoff.DeskDescription{Title: "Desk", Fields: []handoff.CredentialField{
		{Name: "org", Label: "Organization", Required: true},
		{Name: "client", Label: "Client", Required: true, Modes: []handoff.Mode{handoff.ModeExternalToDesk}},
		{Name: "seat", Label: "Seat", Default: "first", Modes: []handoff.Mode{handoff.ModeDeskToDesk}},
	}}
	got, err := d.Check(handoff.ModeExternalToDesk, fields{"org": "o", "client": "c"}, nil)
	require.NoError(t, err)
	require.Equal(t, fields{"org": "o", "client": "c"}, got)
	got, err = d.Check(handoff.ModeDeskToDesk, fields{"org": "o"}, nil)
	require.NoError(t, err)
	require.Equal(t, fields{"org": "o", "seat": "first"}, got)
	_, err = d.Check(handoff.ModeExternalToDesk, fields{"org": "o", "client": "c", "seat": "s"}, nil)
	requireInvalid(t, err, "fields.seat")
}

func TestDescriptions(t *testing.T) {
	t.Parallel()
	b := unconfigured(t)
	require.Equal(t, descriptions, b.svc.DeskKinds())
	d, err := b.svc.DeskKind(remoteDesk)
	require.NoError(t, err)
	require.True(t, d.Supports(handoff.ModeExternalToDesk))
	require.False(t, d.Supports(handoff.ModeDeskToDesk))
	require.Equal(t, handoff.DefaultRetry, d.RetryFor(handoff.DeliverOpen))
	own := handoff.RetryPolicy{Attempts: 1}
	d.Retry = map[handoff.DeliveryKind]handoff.RetryPolicy{handoff.DeliverOpen: own}
	require.Equal(t, own, d.RetryFor(handoff.DeliverOpen))
	require.Equal(t, handoff.DefaultRetry, d.RetryFor(handoff.DeliverClose))
	_, err = b.svc.DeskKind("fax")
	requireInvalid(t, err, "kind")
}

func TestConnect(t *testing.T) {
	t.Parallel()
	b := unconfigured(t)
	in := handoff.Connect{AgentID: b.agent, Kind: remoteDesk, Fields: fields{"url": "https://desk.example", "token": "s3cret"}, IdempotencyKey: "k"}
	c, err := b.svc.Connect(b.ctx, in)
	require.NoError(t, err)
	require.True(t, handoff.HasPrefix(c.ID, handoff.ConnectionPrefix))
	require.Equal(t, "Remote desk", c.Name)
	require.Equal(t, handoff.ModeExternalToDesk, c.Mode)
	require.False(t, c.Active)
	require.Equal(t, fields{"url": "https://desk.example", "region": "eu"}, c.Fields)
	require.Equal(t, []string{"token"}, c.SetSecrets)
	require.NotContains(t, c.Fields, "token")
	require.Len(t, c.ReceiveToken, 32)
	require.Equal(t, handoff.StatusAvailable, c.Status)
	require.Equal(t, start, c.CheckedAt)
	require.Equal(t, []string{c.ID}, b.desks.verified)

	again, err := b.svc.Connect(b.ctx, in)
	require.NoError(t, err)
	require.Equal(t, c, again)
	require.Len(t, b.desks.verified, 1)

	in.IdempotencyKey, in.Active, in.Name = "", true, " Helpdesk "
	second, err := b.svc.Connect(b.ctx, in)
	require.NoError(t, err)
	require.True(t, second.Active)
	require.Equal(t, "Helpdesk", second.Name)
	require.NotEqual(t, c.ReceiveToken, second.ReceiveToken)
	found, err := b.svc.ConnectionByToken(b.ctx, second.ReceiveToken)
	require.NoError(t, err)
	require.Equal(t, second, found)

	c, err = b.svc.Activate(b.ctx, c.ID)
	require.NoError(t, err)
	require.True(t, c.Active)
	second, err = b.svc.Connection(b.ctx, second.ID)
	require.NoError(t, err)
	require.False(t, second.Active, "one per mode")
	list, err := b.svc.Connections(b.ctx, b.agent)
	require.NoError(t, err)
	require.Equal(t, []handoff.Connection{c, second}, list)
}

func TestConnectRefused(t *testing.T) {
	t.Parallel()
	b := unconfigured(t)
	good := fields{"url": "https://desk.example", "token": "t"}
	b.desks.check = func(f map[string]string) error {
		if strings.Contains(f["url"], "10.0.0.1") {
			return fault.Invalid("fields.url", "private networks are not reachable")
		}
		return nil
	}
	for field, in := range map[string]handoff.Connect{
		"kind":           {AgentID: b.agent, Kind: "fax", Fields: good},
		"mode":           {AgentID: b.agent, Kind: remoteDesk, Mode: handoff.ModeDeskToDesk, Fields: good},
		"name":           {AgentID: b.agent, Kind: remoteDesk, Name: strings.Repeat("n", 101), Fields: good},
		"fields.token":   {AgentID: b.agent, Kind: remoteDesk, Fields: fields{"url": "https://desk.example"}},
		"fields.url":     {AgentID: b.agent, Kind: remoteDesk, Fields: fields{"url": "https://10.0.0.1", "token": "t"}},
		"idempotencyKey": {AgentID: b.agent, Kind: remoteDesk, Fields: good, IdempotencyKey: "\n"},
	} {
		_, err := b.svc.Connect(b.ctx, in)
		requireInvalid(t, err, field)
	}
	_, err := b.svc.Connect(b.ctx, handoff.Connect{AgentID: "agt_unknown", Kind: remoteDesk, Fields: good})
	requireFault(t, err, fault.NotFound)
	list, err := b.svc.Connections(b.ctx, b.agent)
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestConnectToADeskThatIsDown(t *testing.T) {
	t.Parallel()
	b := unconfigured(t)
	b.desks.fail(fault.New(fault.DeskUnauthorized, "the desk refuses the token"))
	c := b.connect(remoteDesk)
	require.Equal(t, handoff.StatusUnavailable, c.Status)
	require.Equal(t, "the desk refuses the token", c.LastError)
	require.Equal(t, fault.DeskUnauthorized, c.LastErrorKind)
	require.Equal(t, start, c.LastErrorAt)
	require.Equal(t, start.Add(15*time.Second), c.NextCheckAt)
	require.True(t, c.Active, "a failed check undoes nothing")
}

func TestUpdateConnection(t *testing.T) {
	t.Parallel()
	b := unconfigured(t)
	c := b.connect(remoteDesk)
	c, err := b.svc.UpdateConnection(b.ctx, c.ID, nil, fields{"password": "pw", "label": "main"})
	require.NoError(t, err)
	require.Equal(t, fields{"url": "https://desk.example", "region": "eu", "label": "main"}, c.Fields)
	require.Equal(t, []string{"token", "password"}, c.SetSecrets, "what is not given is kept")
	require.Equal(t, []string{c.ID}, b.desks.forgotten)
	require.Equal(t, []string{c.ID, c.ID}, b.desks.verified)

	sealed := c.Sealed
	name := " Support "
	c, err = b.svc.UpdateConnection(b.ctx, c.ID, &name, nil)
	require.NoError(t, err)
	require.Equal(t, "Support", c.Name)
	require.Equal(t, sealed, c.Sealed)

	c, err = b.svc.UpdateConnection(b.ctx, c.ID, nil, fields{"password": "", "label": "", "region": "us", "token": "t2"})
	require.NoError(t, err)
	require.Equal(t, fields{"url": "https://desk.example", "region": "us"}, c.Fields)
	require.Equal(t, []string{"token"}, c.SetSecrets, "what is emptied is removed")
	plain, err := b.sealer.Open(c.ID, c.Sealed)
	require.NoError(t, err)
	require.JSONEq(t, `{"token":"t2"}`, string(plain))

	empty := ""
	for field, update := range map[string]func() error{
		"name": func() error { _, err := b.svc.UpdateConnection(b.ctx, c.ID, &empty, nil); return err },
		"fields.token": func() error {
			_, err := b.svc.UpdateConnection(b.ctx, c.ID, nil, fields{"token": ""})
			return err
		},
		"fields.url": func() error { _, err := b.svc.UpdateConnection(b.ctx, c.ID, nil, fields{"url": "x"}); return err },
		"fields.colour": func() error {
			_, err := b.svc.UpdateConnection(b.ctx, c.ID, nil, fields{"colour": "red"})
			return err
		},
	} {
		requireInvalid(t, update(), field)
	}
	stored, err := b.svc.Connection(b.ctx, c.ID)
	require.NoError(t, err)
	require.Equal(t, c, stored, "bad input changes nothing")
	_, err = b.svc.UpdateConnection(b.ctx, "con_unknown", nil, nil)
	requireFault(t, err, fault.NotFound)
}

// Secrets that nobody can open any more are replaced, not in the way.
func TestUpdateConnectionAfterTheKeyWasLost(t *testing.T) {
	t.Parallel()
	b := unconfigured(t)
	c := b.connect(remoteDesk)
	b.sealer.lost = true
	_, err := b.svc.UpdateConnection(b.ctx, c.ID, nil, fields{"label": "main"})
	requireInvalid(t, err, "fields.token")
	b.sealer.lost = false
	sealed, err := b.sealer.Seal("another", []byte(`{}`))
	require.NoError(t, err)
	_, err = b.store.UpdateConnection(b.ctx, c.ID, start, func(c *handoff.Connection) error {
		c.Sealed = sealed
		return nil
	})
	require.NoError(t, err)
	c, err = b.svc.UpdateConnection(b.ctx, c.ID, nil, fields{"token": "new"})
	require.NoError(t, err)
	require.Equal(t, []string{"token"}, c.SetSecrets)
}

func TestServiceStatus(t *testing.T) {
	t.Parallel()
	b := setup(t)
	status := func() handoff.Connection {
		c, err := b.svc.Connection(b.ctx, b.desk.ID)
		require.NoError(t, err)
		return c
	}
	version := status().Version
	b.svc.ReportDesk(b.ctx, b.desk.ID, nil)
	b.clock.advance(time.Minute)
	b.svc.ReportDesk(b.ctx, b.desk.ID, nil)
	require.Equal(t, version, status().Version, "a healthy desk costs no write")

	b.svc.ReportDesk(b.ctx, b.desk.ID, fault.New(fault.DeskUnavailable, "down"))
	c := status()
	require.Equal(t, handoff.StatusUnavailable, c.Status)
	require.Equal(t, "down", c.LastError)
	require.Equal(t, b.clock.now(), c.LastErrorAt)
	b.clock.advance(29 * time.Second)
	b.svc.ReportDesk(b.ctx, b.desk.ID, fault.New(fault.DeskUnavailable, "still down"))
	require.Equal(t, c, status(), "nor does every failure of many")
	b.clock.advance(time.Second)
	b.svc.ReportDesk(b.ctx, b.desk.ID, fault.New(fault.DeskUnauthorized, "refused"))
	require.Equal(t, fault.DeskUnauthorized, status().LastErrorKind)

	b.svc.ReportDesk(b.ctx, b.desk.ID, nil)
	c = status()
	require.Equal(t, handoff.StatusAvailable, c.Status)
	require.Empty(t, c.LastError)
	require.Empty(t, c.LastErrorKind)
	require.Zero(t, c.NextCheckAt)

	// Another replica has seen a failure; our next success mends it, after a while.
	b.replica().ReportDesk(b.ctx, b.desk.ID, fault.New(fault.DeskUnavailable, "down"))
	b.clock.advance(30 * time.Second)
	b.svc.ReportDesk(b.ctx, b.desk.ID, nil)
	require.Equal(t, handoff.StatusAvailable, status().Status)

	b.svc.ReportDesk(b.ctx, "con_removed", fault.New(fault.DeskUnavailable, "down")) // nobody to tell
}

func TestRecheck(t *testing.T) {
	t.Parallel()
	b := setup(t)
	second, err := b.svc.Connect(b.ctx, handoff.Connect{AgentID: b.agent, Kind: localDesk})
	require.NoError(t, err)
	down := fault.New(fault.DeskUnavailable, "down")
	b.desks.fail(down)
	_, err = b.svc.Verify(b.ctx, b.desk.ID)
	require.NoError(t, err)
	b.desks.verified = nil

	b.clock.advance(14 * time.Second)
	require.NoError(t, b.svc.Recheck(b.ctx, 10))
	require.Empty(t, b.desks.verified, "not before its time")
	b.clock.advance(time.Second)
	require.NoError(t, b.svc.Recheck(b.ctx, 10))
	require.Equal(t, []string{b.desk.ID}, b.desks.verified, "only what is unavailable")
	require.NotContains(t, b.desks.verified, second.ID)
	require.NoError(t, b.svc.Recheck(b.ctx, 10))
	require.Len(t, b.desks.verified, 1, "it rests again")

	b.desks.fail(nil)
	b.clock.advance(15 * time.Second)
	require.NoError(t, b.svc.Recheck(b.ctx, 10))
	c, err := b.svc.Connection(b.ctx, b.desk.ID)
	require.NoError(t, err)
	require.Equal(t, handoff.StatusAvailable, c.Status, "used again without anybody pressing a button")
	b.clock.advance(time.Hour)
	require.NoError(t, b.svc.Recheck(b.ctx, 10))
	require.Len(t, b.desks.verified, 2)
}

// Two unavailable desks and a limit of one: the other is looked at next time.
func TestRecheckIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.desks.fail(fault.New(fault.DeskUnavailable, "down"))
	b.connect(remoteDesk)
	_, err := b.svc.Verify(b.ctx, b.desk.ID)
	require.NoError(t, err)
	b.desks.verified = nil
	b.clock.advance(15 * time.Second)
	require.NoError(t, b.svc.Recheck(b.ctx, 1))
	require.Len(t, b.desks.verified, 1)
	require.NoError(t, b.svc.Recheck(b.ctx, 1))
	require.Len(t, b.desks.verified, 2)
	require.NotEqual(t, b.desks.verified[0], b.desks.verified[1])
}

func TestDisconnect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.reach(handoff.StateActive)
		began := time.Now()
		require.NoError(t, b.svc.Disconnect(b.ctx, b.desk.ID))
		require.Equal(t, 5*time.Second, time.Since(began), "a desk that does not answer is waited for, not for ever")
		b.requireState(handoff.StateClosed, handoff.ReasonHandoffDisabled)
		_, err := b.svc.Connection(b.ctx, b.desk.ID)
		requireFault(t, err, fault.NotFound)
		require.Equal(t, b.desk.ID, b.desks.forgotten[len(b.desks.forgotten)-1])
		agent, err := b.svc.Agent(b.ctx, b.agent)
		require.NoError(t, err)
		require.False(t, agent.Settings.Enabled)
		require.Equal(t, handoff.OutcomeNotReady, b.request().Outcome)
		requireFault(t, b.svc.Disconnect(b.ctx, b.desk.ID), fault.NotFound)
	})
}

func TestDisconnectOneOfTwo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := b.desk
	b.desk = b.connect(remoteDesk) // takes over as the active one
	require.NoError(t, b.svc.Disconnect(b.ctx, old.ID))
	agent, err := b.svc.Agent(b.ctx, b.agent)
	require.NoError(t, err)
	require.True(t, agent.Settings.Enabled, "there is still a desk")
	require.Equal(t, b.desk.ID, b.request().Handoff.ConnectionID)
}

// The Handoff of the removed desk has just ended, and the User has asked again:
// the new one is at another desk and goes on.
func TestDisconnectRacedByANewRequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := b.desk
	b.reach(handoff.StateWaiting)
	b.store.interrupt(func() {
		_, err := b.svc.EndByUser(b.ctx, b.conv)
		require.NoError(t, err)
		b.deliver(handoff.DeliverClose)
		b.desk = b.connect(remoteDesk)
		b.reach(handoff.StateWaiting)
	})
	require.NoError(t, b.svc.Disconnect(b.ctx, old.ID))
	b.requireState(handoff.StateWaiting, "")
	require.Equal(t, b.desk.ID, b.newest().ConnectionID)
}

// A request that has seen the connection active comes in while the desk is told of
// the end of the others.
func TestDisconnectRacedByARequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.reach(handoff.StateWaiting)
		b.conv = b.converse(handoff.ChannelWidget)
		asked := make(chan error, 1)
		time.AfterFunc(time.Second, func() {
			b.store.mu.Lock()
			b.store.connections[0].Active = true
			b.store.mu.Unlock()
			_, err := b.svc.RequestHandoff(b.ctx, handoff.Request{ConversationID: b.conv})
			asked <- err
		})
		require.NoError(t, b.svc.Disconnect(b.ctx, b.desk.ID))
		require.NoError(t, <-asked)
		b.requireState(handoff.StateClosed, handoff.ReasonHandoffDisabled)
	})
}
