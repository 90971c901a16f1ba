package desk

import (
	"container/list"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"time"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// MaxConnected bounds how many connected desks a [Catalog] keeps.
const MaxConnected = 4_096

// Limits of signals, which are dropped rather than waited for.
const (
	maxSignals    = 32 // on their way at a time
	signalTimeout = 5 * time.Second
)

// CatalogOptions are what a [Catalog] works with. Every field is required unless
// it says otherwise.
type CatalogOptions struct {
	Drivers []Driver // all desks there are, in the order of lists
	Sealer  handoff.Sealer
	// Memory is optional: without it no desk remembers anything.
	Memory handoff.DeskMemoryStore
	HTTP   *http.Client // see [NewHTTPClient]
	Now    func() time.Time
	Log    *slog.Logger
	Watch  Watch // optional
}

// Catalog is the explicit list of desks, and keeps the connected ones. It is safe
// for concurrent use.
type Catalog struct {
	o       CatalogOptions
	drivers map[string]Driver
	all     []handoff.DeskDescription

	mu        sync.Mutex
	connected map[string]*list.Element // of *entry, by connection id
	order     *list.List               // the least recently used is last

	stop    context.CancelFunc
	stopped context.Context
	signals chan struct{}
	running sync.WaitGroup
}

var _ handoff.Desks = (*Catalog)(nil)

// entry is a connected desk and what it was connected with.
type entry struct {
	id, kind, sealed string
	mode             handoff.Mode
	fields           map[string]string
	desk             Desk
}

// NewCatalog makes a catalogue. It fails when two drivers have the same kind, and when
// one offers DESK_TO_DESK without a messenger.
func NewCatalog(o CatalogOptions) (*Catalog, error) {
	c := &Catalog{
		o:         o,
		drivers:   make(map[string]Driver, len(o.Drivers)),
		connected: make(map[string]*list.Element),
		order:     list.New(),
		signals:   make(chan struct{}, maxSignals),
	}
	for _, d := range o.Drivers {
		description := d.Describe()
		if _, taken := c.drivers[description.Kind]; taken {
			return nil, fmt.Errorf("desk: two drivers are called %q", description.Kind)
		}
		if description.Supports(handoff.ModeDeskToDesk) && !description.Channel.OfDesk() {
			return nil, fmt.Errorf("desk: %q offers DESK_TO_DESK without a channel of its own", description.Kind)
		}
		c.drivers[description.Kind] = d
		c.all = append(c.all, description)
	}
	c.stopped, c.stop = context.WithCancel(context.Background())
	return c, nil
}

// Close abandons the signals on their way and waits for their goroutines. Later
// signals are dropped; everything else goes on working.
func (c *Catalog) Close() {
	c.mu.Lock()
	c.stop()
	c.mu.Unlock()
	c.running.Wait()
}

// Describe gives the declaration of a kind; false = unknown kind.
func (c *Catalog) Describe(kind string) (handoff.DeskDescription, bool) {
	d, ok := c.drivers[kind]
	if !ok {
		return handoff.DeskDescription{}, false
	}
	return d.Describe(), true
}

// Descriptions lists all kinds in the order of the drivers.
func (c *Catalog) Descriptions() []handoff.DeskDescription {
	return append([]handoff.DeskDescription(nil), c.all...)
}

// Check lets the desk look at fields that were already checked against its
// declaration. It calls nobody. Its faults are InvalidInput.
func (c *Catalog) Check(kind string, mode handoff.Mode, fields map[string]string) error {
	_, err := c.connect(handoff.Connection{Kind: kind, Mode: mode, Fields: fields})
	return err
}

// Verify makes a live check with the connection's credentials.
func (c *Catalog) Verify(ctx context.Context, connection handoff.Connection) error {
	d, err := c.For(ctx, connection)
	if err != nil {
		return err
	}
	return d.Verify(ctx)
}

// For gives the desk of a connection, wrapped in a [Guard].
//
// The same desk, and with it the memory of its failures, is given as long as kind,
// mode and credentials stay the same. The connection's version does not matter: it
// also grows when the service status moves, which those very failures cause.
func (c *Catalog) For(_ context.Context, connection handoff.Connection) (Desk, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if found, ok := c.connected[connection.ID]; ok {
		if e := found.Value.(*entry); e.of(&connection) {
			c.order.MoveToFront(found)
			return e.desk, nil
		}
		c.drop(found)
	}
	d, err := c.connect(connection)
	if err != nil {
		return nil, err
	}
	e := &entry{
		id: connection.ID, kind: connection.Kind, mode: connection.Mode, sealed: connection.Sealed,
		fields: maps.Clone(connection.Fields),
		desk:   Guard(d, connection.Kind, connection.ID, c.o.Now, c.o.Watch),
	}
	if c.order.Len() >= MaxConnected {
		c.drop(c.order.Back())
	}
	c.connected[e.id] = c.order.PushFront(e)
	return e.desk, nil
}

func (e *entry) of(c *handoff.Connection) bool {
	return e.kind == c.Kind && e.mode == c.Mode && e.sealed == c.Sealed && maps.Equal(e.fields, c.Fields)
}

func (c *Catalog) drop(e *list.Element) {
	delete(c.connected, e.Value.(*entry).id)
	c.order.Remove(e)
}

// Forget drops what is kept of a connection.
func (c *Catalog) Forget(connectionID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.connected[connectionID]; ok {
		c.drop(e)
	}
}

// connect makes the desk of a connection: it opens the secrets and fills in defaults.
func (c *Catalog) connect(connection handoff.Connection) (Desk, error) {
	driver, ok := c.drivers[connection.Kind]
	if !ok {
		return nil, fault.Invalid("kind", "%q is not a desk", connection.Kind)
	}
	description := driver.Describe()
	if !description.Supports(connection.Mode) {
		return nil, fault.Invalid("mode", "%s does not offer %s", description.Title, connection.Mode)
	}
	fields := map[string]string{}
	for _, f := range description.Fields {
		if f.Default != "" && f.AskedIn(connection.Mode) {
			fields[f.Name] = f.Default
		}
	}
	maps.Copy(fields, connection.Fields)
	if connection.Sealed != "" {
		plain, err := c.o.Sealer.Open(connection.ID, connection.Sealed)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(plain, &fields); err != nil {
			// The error of the decoder would quote the secrets.
			return nil, fault.New(fault.Internal, "the stored credentials cannot be read")
		}
	}
	d, err := driver.Connect(Settings{
		ConnectionID: connection.ID,
		Mode:         connection.Mode,
		Fields:       fields,
		HTTP:         paced(c.o.HTTP, description.RequestsPerSecond, c.o.Now),
		Memory:       c.memoryOf(connection.ID),
		Now:          c.o.Now,
	})
	if err != nil {
		return nil, err
	}
	if _, ok := As[Speaker](d); !ok && connection.Mode == handoff.ModeDeskToDesk {
		return nil, fault.Wrap(fault.Internal, fmt.Errorf("desk: %q declares DESK_TO_DESK and is no Speaker", connection.Kind), "internal error")
	}
	return d, nil
}

func (c *Catalog) memoryOf(connectionID string) Memory {
	if connectionID == "" || c.o.Memory == nil {
		return noMemory{}
	}
	return &memory{store: c.o.Memory, sealer: c.o.Sealer, connectionID: connectionID, now: c.o.Now}
}

// Signal tells the desk that the User types or has read, where the desk wants to
// know. It returns at once; a signal that finds too many others under way is dropped.
func (c *Catalog) Signal(ctx context.Context, connection handoff.Connection, h handoff.Handoff, s handoff.Signal) {
	if s.Author != handoff.AuthorUser || h.DeskRef == "" {
		return
	}
	d, err := c.For(ctx, connection)
	if err != nil {
		return // every delivery meets and reports the same error
	}
	send := signalSender(d, s.Kind)
	if send == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped.Err() != nil {
		return
	}
	select {
	case c.signals <- struct{}{}:
	default:
		return
	}
	c.running.Go(func() {
		defer func() { <-c.signals }()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), signalTimeout)
		defer cancel()
		defer context.AfterFunc(c.stopped, cancel)()
		if err := send(ctx, h.DeskRef); err != nil {
			c.o.Log.DebugContext(ctx, "signal not delivered", "connection_id", connection.ID, "signal", s.Kind, "error", err)
		}
	})
}

// signalSender is how a desk is told of a signal; nil = it does not want to know.
func signalSender(d Desk, kind handoff.SignalKind) func(context.Context, string) error {
	switch kind {
	case handoff.SignalTyping:
		if t, ok := As[TypingSender](d); ok {
			return t.SendTyping
		}
	case handoff.SignalRead:
		if r, ok := As[ReadSender](d); ok {
			return r.SendRead
		}
	case handoff.SignalQueued: // comes from desks
	}
	return nil
}
