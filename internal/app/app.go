// Package app puts the house together: it builds every room from the
// configuration, starts and stops them in the right order, and is the only
// package that knows them all.
package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/rs/cors"

	"handoff/graph"
	"handoff/graph/transport"
	"handoff/graph/transport/ide"
	"handoff/internal/auth"
	"handoff/internal/config"
	"handoff/internal/desk"
	"handoff/internal/desk/builtin"
	"handoff/internal/desk/intercom"
	"handoff/internal/desk/livechat"
	"handoff/internal/desk/webhook"
	"handoff/internal/fault"
	"handoff/internal/handoff"
	"handoff/internal/inbound"
	"handoff/internal/metrics"
	"handoff/internal/relay"
	"handoff/internal/secretfile"
	"handoff/internal/store"
	"handoff/internal/stream"
	"handoff/internal/vault"
)

// Files in the data directory.
const (
	databaseFile   = "handoff.db"
	secretKeyFile  = "secret.key"
	adminTokenFile = "admin.token"
)

// drivers is the explicit list of desks, in the order of lists. hosts are the
// simulators to call in place of desks.
func drivers(hosts config.DeskHosts, publicURL string) ([]desk.Driver, error) {
	unknown := maps.Clone(hosts)
	host := func(kind string) string {
		delete(unknown, kind)
		return hosts[kind]
	}
	list := []desk.Driver{
		builtin.Driver{},
		webhook.Driver{},
		intercom.At(host(intercom.Kind)),
		livechat.At(host(livechat.Kind), origin(publicURL)+"/"),
	}
	for kind := range unknown {
		return nil, fmt.Errorf("HANDOFF_DESK_HOSTS: %q is not a desk with a server of its own", kind)
	}
	return list, nil
}

// origin is the scheme and host of an address that was checked before.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Scheme + "://" + u.Host
}

// App is one running process.
type App struct {
	config  config.Config
	log     *slog.Logger
	now     func() time.Time
	version string

	store    *store.Store
	hub      *stream.Hub
	catalog  *desk.Catalog
	service  *handoff.Service
	relay    *relay.Relay
	metrics  *metrics.Metrics
	auth     *auth.Authenticator
	graph    *transport.Handler
	server   *http.Server
	listener net.Listener
	streams  agentStreams
	crowd    crowd

	background     sync.WaitGroup
	stopBackground context.CancelFunc

	adminToken        string
	adminTokenCreated bool
	stopping          atomic.Bool
	served            chan error
}

// Options are what a process is made from besides its configuration.
type Options struct {
	Log     *slog.Logger
	Version string
	Now     func() time.Time // nil = time.Now
	Drivers []desk.Driver    // desks besides those of every process
	Pace    Pace
}

// Pace is how long a process waits for what nobody tells it. Zero durations take
// the defaults; tests shorten them to see in milliseconds what takes seconds.
type Pace struct {
	Sweep   time.Duration // between two looks for deliveries and deadlines
	Attempt time.Duration // for one call of a desk
	Lease   time.Duration // before the deliveries of a worker that died are taken over
	Recheck time.Duration // between two looks for unavailable desks to try again
	Poll    time.Duration // between two looks for events of other replicas
}

// New opens the database, brings its schema up to date, and builds every room. It
// listens, but serves nothing before Start. On an error nothing is left open.
func New(ctx context.Context, c config.Config, o Options) (_ *App, err error) {
	a := &App{config: c, log: o.Log, now: o.Now, version: o.Version, served: make(chan error, 1)}
	if a.now == nil {
		a.now = time.Now
	}
	defer func() {
		if err != nil {
			a.abandon()
		}
	}()
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	keys, err := a.secretKeys()
	if err != nil {
		return nil, err
	}
	sealer, err := vault.New(keys...)
	if err != nil {
		return nil, err
	}
	if err := a.loadAdminToken(); err != nil {
		return nil, err
	}
	if a.store, err = store.Open(ctx, store.Options{
		URL: c.DatabaseURL.Reveal(), SQLitePath: filepath.Join(c.DataDir, databaseFile),
		MaxConnections: c.DBMaxConnections, Logger: a.log, Now: a.now,
	}); err != nil {
		return nil, err
	}
	if a.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", c.Addr); err != nil {
		return nil, fmt.Errorf("HANDOFF_ADDR: %w", err)
	}
	a.config = c.ListeningOn(a.listener.Addr())
	return a, a.build(sealer, o)
}

func (a *App) secretKeys() ([]vault.Key, error) {
	text := a.config.SecretKey.Reveal()
	if text == "" {
		var err error
		if text, _, err = secretfile.LoadOrCreate(filepath.Join(a.config.DataDir, secretKeyFile), vault.GenerateKey); err != nil {
			return nil, err
		}
	}
	return vault.ParseKeys(text)
}

func (a *App) loadAdminToken() (err error) {
	if a.adminToken = a.config.AdminToken.Reveal(); a.adminToken != "" {
		return nil
	}
	a.adminToken, a.adminTokenCreated, err = secretfile.LoadOrCreate(filepath.Join(a.config.DataDir, adminTokenFile), func() string {
		return "hadm_" + auth.NewKey().Secret[len(auth.KeyPrefix):]
	})
	return err
}

// The hub asks its log whether it can do more.
var _ stream.ChangedHandoffs = (*store.Store)(nil)

// build makes the rooms, from the inside out.
func (a *App) build(sealer *vault.Vault, o Options) (err error) {
	c, pace := a.config, o.Pace
	a.metrics = metrics.New(a.version)
	poll := 10 * time.Second // SQLite has one process: no hint gets lost
	if c.UsesPostgres() {
		poll = time.Second
	}
	a.hub = stream.New(stream.Options{
		Log: a.store, Now: a.now, Logger: a.log.With("part", "stream"), PollInterval: cmp.Or(pace.Poll, poll),
		Metrics: stream.Metrics{
			Subscriptions: func(_ stream.Kind, delta int) { a.metrics.Subscriptions(delta) },
			Replayed:      func(stream.Cause) { a.metrics.Replayed() },
			Relayed:       a.metrics.Relayed,
		},
	})
	desks, err := drivers(c.DeskHosts, c.PublicURL)
	if err != nil {
		return err
	}
	for kind, host := range c.DeskHosts {
		a.log.Warn("a desk is simulated", "desk", kind, "address", host)
	}
	if a.catalog, err = desk.NewCatalog(desk.CatalogOptions{
		Drivers: append(desks, o.Drivers...), Sealer: sealer, Memory: a.store, Now: a.now, Log: a.log.With("part", "desk"),
		HTTP: desk.NewHTTPClient(desk.HTTPOptions{
			AllowedPrivate: c.PrivateNetworks, AllowedAddresses: c.DeskHosts.Addresses(), Version: a.version,
		}),
		Watch: desk.Watch{Report: a.reportDesk, Observe: a.metrics.DeskCall},
	}); err != nil {
		return err
	}
	bell := relay.NewBell()
	a.service = handoff.New(handoff.Dependencies{
		Store: a.store, Desks: a.catalog, Feed: a.hub, Alarm: bell, Sealer: sealer, Counters: a.metrics,
		Log: a.log.With("part", "handoff"), Now: a.now, DefaultTimeZone: c.DefaultTimeZone,
	})
	a.metrics.WatchHandoffs(a.service.OpenHandoffs)
	a.relay = relay.New(relay.Options{
		Store: a.store, Business: a.service, Desks: a.catalog, Bell: bell, Observer: a.metrics,
		Log: a.log.With("part", "relay"), Now: a.now, Owner: uuid.NewString(), Workers: c.RelayWorkers,
		Lease: pace.Lease, Sweep: pace.Sweep, Attempt: pace.Attempt, Recheck: pace.Recheck,
	})
	tokens, err := auth.NewUserTokens(sealer.DeriveAll("user tokens"), a.now)
	if err != nil {
		return err
	}
	if a.auth, err = auth.New(a.adminToken, a.store, tokens, a.now); err != nil {
		return err
	}
	a.graph = transport.NewHandler(graph.New(graph.Dependencies{
		Service: a.service, Hub: a.hub, Auth: a.auth, Tokens: tokens, PublicURL: c.PublicURL, Now: a.now,
	}), transport.Config{
		ComplexityLimit: c.MaxComplexity, DepthLimit: c.MaxDepth, Introspection: c.Introspection, BodyLimit: c.MaxBodyBytes,
		ErrorPresenter: graph.ErrorPresenter(a.log.With("part", "graphql"), a.metrics.GraphQLError),
		Websocket: transport.WebsocketConfig{
			MaxConnections: c.MaxConnections, MaxSubscriptions: c.MaxSubscriptions, AllowedOrigins: c.AllowedOrigins,
			OnInit:           a.websocketInit,
			ConnectionOpened: func() { a.metrics.Websockets(1); a.crowd.arrived() },
			ConnectionClosed: func(int) { a.metrics.Websockets(-1) },
			Now:              a.now,
		},
		Logger: a.log.With("part", "graphql"),
	})
	a.server = &http.Server{
		Handler:           a.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       60 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(a.log.With("part", "http").Handler(), slog.LevelDebug),
	}
	return nil
}

// reportDesk writes the service status beside the call that decided it, even when
// that call's context is about to end.
func (a *App) reportDesk(ctx context.Context, connectionID string, failed *fault.Fault) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	a.service.ReportDesk(ctx, connectionID, failed)
}

// handler is everything that is served.
func (a *App) handler() http.Handler {
	mux := http.NewServeMux()
	graphql := a.authenticated(a.graph)
	if a.config.IDE {
		mux.Handle("GET /ide/", http.StripPrefix("/ide", ide.Handler("/graphql")))
		graphql = browsersToIDE(graphql)
	}
	mux.Handle("/graphql", graphql)
	inbound.Register(mux, inbound.Options{
		Business: a.service, Desks: a.catalog, Auth: a.auth, Log: a.log.With("part", "inbound"), Now: a.now,
		BodyLimit: a.config.MaxBodyBytes,
	})
	mux.HandleFunc("GET /healthz", healthz)
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.Handle("GET /metrics", a.guardedMetrics(a.metrics.Handler()))
	mux.Handle("GET /{$}", http.RedirectHandler("graphql", http.StatusFound))

	h := a.watched(mux)
	if len(a.config.AllowedOrigins) > 0 {
		h = cors.New(cors.Options{
			AllowedOrigins: a.config.AllowedOrigins,
			AllowedMethods: []string{http.MethodGet, http.MethodPost},
			AllowedHeaders: []string{"Authorization", "Content-Type", RequestIDHeader},
			ExposedHeaders: []string{RequestIDHeader},
			MaxAge:         600,
		}).Handler(h)
	}
	return withRequestID(withSecurityHeaders(h))
}

// authenticate gives a context that knows who is calling.
func (a *App) authenticate(ctx context.Context, header string) (context.Context, error) {
	caller, err := a.auth.Authenticate(ctx, header)
	if err != nil {
		return nil, err
	}
	return auth.With(ctx, caller), nil
}

// websocketInit authenticates a websocket by connectionParams
// {"authorization": "Bearer …"}, or else by the header of the upgrade request.
func (a *App) websocketInit(ctx context.Context, payload json.RawMessage, r *http.Request) (context.Context, time.Time, error) {
	var params map[string]json.RawMessage
	header := r.Header.Get("Authorization")
	if len(payload) > 0 {
		if err := json.Unmarshal(payload, &params); err != nil {
			return nil, time.Time{}, err
		}
		for _, name := range []string{"authorization", "Authorization"} {
			if value, ok := params[name]; ok {
				if err := json.Unmarshal(value, &header); err != nil {
					return nil, time.Time{}, err
				}
			}
		}
	}
	caller, err := a.auth.Authenticate(ctx, header)
	if err != nil {
		return nil, time.Time{}, err
	}
	ctx = graph.WithRequestID(ctx, RequestID(r.Context()))
	return a.streams.follow(auth.With(ctx, caller), caller), caller.ExpiresAt, nil
}

// Start serves and works until Stop.
func (a *App) Start(ctx context.Context) {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.stopBackground = stop
	a.relay.Start(background)
	a.background.Go(func() { a.endRevoked(background) })
	a.background.Go(func() { a.crowd.tidyUp(background, debug.FreeOSMemory) })
	go func() { a.served <- a.server.Serve(a.listener) }()
	a.log.InfoContext(ctx, "started", "address", a.config.Addr, "public_url", a.config.PublicURL, "version", a.version)
}

// Failed gives the error with which serving ended by itself.
func (a *App) Failed() <-chan error { return a.served }

// Stop ends everything in order, at most within the shutdown timeout: no new
// connections, websockets closed with a code that tells clients to come again,
// requests finished, deliveries finished or handed back, database closed.
func (a *App) Stop(ctx context.Context) error {
	a.stopping.Store(true)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.config.ShutdownTimeout)
	defer cancel()
	a.log.InfoContext(ctx, "stopping")
	var problems []error
	a.server.SetKeepAlivesEnabled(false)
	_ = a.listener.Close()
	problems = append(problems, a.graph.Shutdown(ctx))
	// Shutdown closes the listener too, and says so where it comes second.
	if err := a.server.Shutdown(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
		problems = append(problems, err, a.server.Close())
	}
	problems = append(problems, a.hub.Stop(ctx))
	a.relay.Stop(ctx) // the last to wait: it may need all the time that is left
	if a.stopBackground != nil {
		a.stopBackground()
	}
	a.background.Wait()
	a.catalog.Close()
	problems = append(problems, a.store.Close())
	a.log.InfoContext(ctx, "stopped")
	return errors.Join(problems...)
}

// abandon closes what New had opened when it failed.
func (a *App) abandon() {
	if a.listener != nil {
		_ = a.listener.Close()
	}
	if a.hub != nil {
		_ = a.hub.Stop(context.Background())
	}
	if a.catalog != nil {
		a.catalog.Close()
	}
	if a.store != nil {
		_ = a.store.Close()
	}
}

// URL is where this process can be reached from this machine.
func (a *App) URL() string { return "http://" + a.config.ListeningOn(a.listener.Addr()).Addr }

// Config is the configuration in force, with the address that was taken.
func (a *App) Config() config.Config { return a.config }

// AdminToken is the administrator token, and the file that it was generated into;
// "" when it was configured.
func (a *App) AdminToken() (token, file string, created bool) {
	if !a.config.AdminToken.IsEmpty() {
		return a.adminToken, "", false
	}
	return a.adminToken, filepath.Join(a.config.DataDir, adminTokenFile), a.adminTokenCreated
}

func stack() string { return string(debug.Stack()) }

// NewLogger makes the log that the configuration asks for. Lines carry facts as
// keys; texts of people, addresses and credentials are never among them.
func NewLogger(c config.Config, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == config.LogJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
