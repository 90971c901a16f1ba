package handoff

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"handoff/internal/fault"
)

// Connect is the input of [Service.Connect].
type Connect struct {
	AgentID        string
	Kind           string
	Mode           Mode
	Name           string // "" = the desk's title
	Fields         map[string]string
	Active         bool // make it the one of its mode at once
	IdempotencyKey string
}

// DeskKinds lists what can be connected.
func (s *Service) DeskKinds() []DeskDescription { return s.desks.Descriptions() }

// DeskKind describes one.
func (s *Service) DeskKind(kind string) (DeskDescription, error) {
	d, ok := s.desks.Describe(kind)
	if !ok {
		return DeskDescription{}, fault.Invalid("kind", "%q is not a desk", kind)
	}
	return d, nil
}

// Connect stores the credentials of a desk, encrypted, and verifies them live. A
// failed verification does not undo it: the connection is UNAVAILABLE and says why.
func (s *Service) Connect(ctx context.Context, in Connect) (Connection, error) {
	d, err := s.DeskKind(in.Kind)
	if err != nil {
		return Connection{}, err
	}
	if in.Mode == "" {
		in.Mode = d.Modes[0]
	}
	if !d.Supports(in.Mode) {
		return Connection{}, fault.Invalid("mode", "%s does not offer %s", d.Title, in.Mode)
	}
	if in.Name == "" {
		in.Name = d.Title
	}
	if in.Name, err = validName("name", in.Name); err != nil {
		return Connection{}, err
	}
	fields, err := d.Check(in.Mode, in.Fields, nil)
	if err != nil {
		return Connection{}, err
	}
	if err := s.desks.Check(in.Kind, in.Mode, fields); err != nil {
		return Connection{}, err
	}
	if _, err := s.store.Agent(ctx, in.AgentID); err != nil {
		return Connection{}, err
	}
	once, made, err := s.once(ctx, in.AgentID+"/connectDesk", in.IdempotencyKey)
	if err != nil {
		return Connection{}, err
	}
	if made != "" {
		return s.store.Connection(ctx, made)
	}
	now := s.now()
	c := Connection{
		ID: NewID(ConnectionPrefix), AgentID: in.AgentID, Kind: in.Kind, Mode: in.Mode, Name: in.Name,
		ReceiveToken: newReceiveToken(), Status: StatusUnavailable, CreatedAt: now, UpdatedAt: now,
	}
	if err := s.seal(&c, &d, fields); err != nil {
		return Connection{}, err
	}
	if once != nil {
		once.Result = c.ID
	}
	if c, err = s.store.CreateConnection(ctx, c, once); err != nil {
		return Connection{}, err
	}
	if in.Active {
		if c, err = s.store.ActivateConnection(ctx, c.ID, now); err != nil {
			return Connection{}, err
		}
	}
	return s.Verify(ctx, c.ID)
}

// newReceiveToken makes the unguessable part of an address: 192 bits.
func newReceiveToken() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24: the process ends instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// seal splits checked fields into plain and secret ones and encrypts the latter.
func (s *Service) seal(c *Connection, d *DeskDescription, fields map[string]string) error {
	secrets := map[string]string{}
	c.Fields = map[string]string{}
	c.SetSecrets = nil
	for _, f := range d.Fields {
		value, ok := fields[f.Name]
		switch {
		case !ok:
		case f.Secret:
			secrets[f.Name] = value
			c.SetSecrets = append(c.SetSecrets, f.Name)
		default:
			c.Fields[f.Name] = value
		}
	}
	if len(secrets) == 0 {
		c.Sealed = ""
		return nil
	}
	plain, err := json.Marshal(secrets)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "internal error")
	}
	c.Sealed, err = s.sealer.Seal(c.ID, plain)
	return err
}

// unseal gives the secret fields of a connection.
func (s *Service) unseal(c *Connection) (map[string]string, error) {
	secrets := map[string]string{}
	if c.Sealed == "" {
		return secrets, nil
	}
	plain, err := s.sealer.Open(c.ID, c.Sealed)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(plain, &secrets); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "internal error")
	}
	return secrets, nil
}

// UpdateConnection changes name and fields, then verifies. A field that is not
// given keeps its value, secret or not; an empty one is removed.
func (s *Service) UpdateConnection(ctx context.Context, id string, name *string, given map[string]string) (Connection, error) {
	c, err := s.store.Connection(ctx, id)
	if err != nil {
		return Connection{}, err
	}
	d, err := s.DeskKind(c.Kind)
	if err != nil {
		return Connection{}, err
	}
	if name != nil {
		trimmed, err := validName("name", *name)
		if err != nil {
			return Connection{}, err
		}
		name = &trimmed
	}
	if _, err := s.store.UpdateConnection(ctx, id, s.now(), func(c *Connection) error {
		if name != nil {
			c.Name = *name
		}
		merged, err := s.unseal(c)
		if err != nil {
			// The key that sealed them is lost: what is given now replaces them.
			merged = map[string]string{}
		}
		for k, v := range c.Fields {
			merged[k] = v
		}
		for k, v := range given {
			merged[k] = v
		}
		fields, err := d.Check(c.Mode, merged, nil)
		if err != nil {
			return err
		}
		if err := s.desks.Check(c.Kind, c.Mode, fields); err != nil {
			return err
		}
		return s.seal(c, &d, fields)
	}); err != nil {
		return Connection{}, err
	}
	s.desks.Forget(id)
	return s.Verify(ctx, id)
}

// Verify makes a live check and moves the service status by its outcome.
func (s *Service) Verify(ctx context.Context, id string) (Connection, error) {
	c, err := s.store.Connection(ctx, id)
	if err != nil {
		return Connection{}, err
	}
	checkErr := s.desks.Verify(ctx, c)
	if fault.Is(checkErr, fault.Canceled) && ctx.Err() != nil {
		return Connection{}, checkErr
	}
	return s.setStatus(ctx, id, fault.As(checkErr))
}

// recheckAfter is how long an unavailable connection rests before it is tried again.
const recheckAfter = 15 * time.Second

func (s *Service) setStatus(ctx context.Context, id string, failed *fault.Fault) (Connection, error) {
	now := s.now()
	c, err := s.store.UpdateConnection(ctx, id, now, func(c *Connection) error {
		c.CheckedAt = now
		if failed == nil {
			c.Status, c.LastError, c.LastErrorKind, c.NextCheckAt = StatusAvailable, "", "", time.Time{}
			return nil
		}
		c.Status = StatusUnavailable
		c.LastError, c.LastErrorKind, c.LastErrorAt = failed.Public, failed.Kind, now
		c.NextCheckAt = now.Add(recheckAfter)
		return nil
	})
	if err != nil {
		return Connection{}, err
	}
	s.reports.set(id, failed == nil, now)
	s.log.InfoContext(ctx, "desk connection checked", "connection_id", id, "desk", c.Kind, "status", c.Status, "error_kind", c.LastErrorKind)
	return c, nil
}

// Recheck verifies unavailable connections whose time has come, so that a desk
// that is back is used again without anybody pressing a button.
func (s *Service) Recheck(ctx context.Context, limit int) error {
	now := s.now()
	list, err := s.store.ConnectionsToCheck(ctx, now, now.Add(2*recheckAfter), limit)
	if err != nil {
		return err
	}
	for _, c := range list {
		if _, err := s.Verify(ctx, c.ID); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	return nil
}

// reportMemory remembers what was last written about a connection, so that a
// healthy desk costs no write per message.
type reportMemory struct {
	mu    sync.Mutex
	items map[string]report
}

type report struct {
	ok bool
	at time.Time
}

// reportEvery bounds how long another replica's verdict may differ from ours.
const (
	reportEvery      = 30 * time.Second
	reportMemorySize = 10_000
)

func (m *reportMemory) set(id string, ok bool, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.items) >= reportMemorySize {
		clear(m.items)
	}
	m.items[id] = report{ok: ok, at: now}
}

func (m *reportMemory) known(id string, ok bool, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, found := m.items[id]
	return found && r.ok == ok && now.Sub(r.at) < reportEvery
}

// ReportDesk moves the service status by a real call: nil after a success, the
// failure when credentials were refused or the circuit of the connection opened.
func (s *Service) ReportDesk(ctx context.Context, connectionID string, failed *fault.Fault) {
	now := s.now()
	if s.reports.known(connectionID, failed == nil, now) {
		return
	}
	if failed == nil {
		c, err := s.store.Connection(ctx, connectionID)
		if err == nil && c.Status == StatusAvailable {
			s.reports.set(connectionID, true, now)
			return
		}
	}
	if _, err := s.setStatus(ctx, connectionID, failed); err != nil && !fault.Is(err, fault.NotFound) {
		s.log.WarnContext(ctx, "service status not stored", "connection_id", connectionID, "error", err)
	}
}

// Connection reads one.
func (s *Service) Connection(ctx context.Context, id string) (Connection, error) {
	return s.store.Connection(ctx, id)
}

// Connections lists those of an Agent, oldest first.
func (s *Service) Connections(ctx context.Context, agentID string) ([]Connection, error) {
	return s.store.Connections(ctx, agentID)
}

// ConnectionByToken finds the connection of a message receiving address.
func (s *Service) ConnectionByToken(ctx context.Context, token string) (Connection, error) {
	return s.store.ConnectionByToken(ctx, token)
}

// Activate makes a connection the one that new Handoffs of its mode use.
func (s *Service) Activate(ctx context.Context, id string) (Connection, error) {
	return s.store.ActivateConnection(ctx, id, s.now())
}

// Disconnect ends the open Handoffs of a connection, lets the desk hear of it for
// a few seconds, and removes the connection with its credentials and deliveries.
// An Agent without any active connection is switched off.
func (s *Service) Disconnect(ctx context.Context, id string) error {
	c, err := s.store.UpdateConnection(ctx, id, s.now(), func(c *Connection) error {
		c.Active = false
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.endAll(ctx, "", id, Disabled); err != nil {
		return err
	}
	s.drain(ctx, DeliveryFilter{ConnectionID: id})
	if err := s.store.DeleteConnection(ctx, id); err != nil {
		return err
	}
	s.desks.Forget(id)
	// Requests that were decided before and came in meanwhile; later ones end themselves.
	if err := s.endAll(ctx, "", id, Disabled); err != nil {
		return err
	}
	left, err := s.store.Connections(ctx, c.AgentID)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(left, func(c Connection) bool { return c.Active }) {
		return nil
	}
	_, err = s.updateAgent(ctx, c.AgentID, func(a *Agent) error {
		a.Settings.Enabled = false
		return nil
	})
	return err
}
