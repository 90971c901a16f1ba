package transport

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/vektah/gqlparser/v2/ast"
)

// Config sets up a [Handler]. The zero value of a field means the default given
// with it.
type Config struct {
	ComplexityLimit int  // 300: by the schema's complexity functions, 1 a field by default
	DepthLimit      int  // 12: fields nested in each other, fragments written out
	TokenLimit      int  // 2,000: tokens of a document; bounds parsing and validation
	Introspection   bool // off: __schema and __type answer with an error

	// QueryCacheBytes and PersistedQueryBytes bound the caches of parsed queries
	// and of automatic persisted queries by the bytes of query text in them:
	// 512 KiB (a parsed query takes some 20 to 100 times its text) and 1 MiB.
	QueryCacheBytes, PersistedQueryBytes int

	BodyLimit int64 // 1 MiB: bytes of a request body

	ErrorPresenter graphql.ErrorPresenterFunc // gqlgen's; it must hide what clients may not see
	Recover        graphql.RecoverFunc        // logs the place of a panic and answers "internal error"

	// Middleware, outermost first. An operation middleware that refuses must
	// wrap its answer in graphql.OneShot, or a stream repeats it for ever.
	AroundOperations []graphql.OperationMiddleware
	AroundResponses  []graphql.ResponseMiddleware
	AroundRootFields []graphql.RootFieldMiddleware
	AroundFields     []graphql.FieldMiddleware

	Websocket WebsocketConfig // Logger is filled in from here if nil
	SSE       SSEConfig       // Logger and BodyLimit likewise

	Logger *slog.Logger // slog.Default()
}

func (c Config) withDefaults() Config {
	orDefault(&c.ComplexityLimit, 300)
	orDefault(&c.DepthLimit, 12)
	orDefault(&c.TokenLimit, 2000)
	orDefault(&c.QueryCacheBytes, 512<<10)
	orDefault(&c.PersistedQueryBytes, 1<<20)
	orDefault(&c.BodyLimit, DefaultBodyLimit)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Recover == nil {
		c.Recover = recoverFunc(c.Logger)
	}
	if c.ErrorPresenter == nil {
		c.ErrorPresenter = graphql.DefaultErrorPresenter
	}
	if c.Websocket.Logger == nil {
		c.Websocket.Logger = c.Logger
	}
	if c.SSE.Logger == nil {
		c.SSE.Logger = c.Logger
	}
	orDefault(&c.SSE.BodyLimit, c.BodyLimit)
	return c
}

// orDefault fills in a number that was left out.
func orDefault[N cmp.Ordered](n *N, fallback N) {
	var zero N
	if *n <= zero {
		*n = fallback
	}
}

// Handler serves a schema at one path over HTTP, SSE and websocket. Make it with
// [NewHandler].
type Handler struct {
	server    *handler.Server
	websocket *Websocket
	sse       *SSE
}

// NewHandler makes the handler of a schema. Call Shutdown to end it.
func NewHandler(schema graphql.ExecutableSchema, cfg Config) *Handler {
	cfg = cfg.withDefaults()
	h := &Handler{
		server:    handler.New(schema),
		websocket: NewWebsocket(cfg.Websocket),
		sse:       NewSSE(cfg.SSE),
	}
	// The first transport that supports a request gets it.
	h.server.AddTransport(h.websocket)
	h.server.AddTransport(h.sse)
	h.server.AddTransport(HTTP{BodyLimit: cfg.BodyLimit, Logger: cfg.Logger})

	h.server.SetQueryCache(newTextCache[*ast.QueryDocument](cfg.QueryCacheBytes))
	h.server.SetParserTokenLimit(cfg.TokenLimit)
	// "Did you mean …" would tell the schema to those it is kept from.
	h.server.SetDisableSuggestion(true)
	h.server.SetErrorPresenter(cfg.ErrorPresenter)
	h.server.SetRecoverFunc(cfg.Recover)

	h.server.Use(extension.AutomaticPersistedQuery{Cache: newTextCache[string](cfg.PersistedQueryBytes)})
	h.server.SetValidationRulesFn(validationRules)
	h.server.Use(&shapeLimits{depth: cfg.DepthLimit, complexity: cfg.ComplexityLimit, introspection: cfg.Introspection})
	if cfg.Introspection {
		h.server.Use(extension.Introspection{})
	}
	for _, f := range cfg.AroundOperations {
		h.server.AroundOperations(f)
	}
	for _, f := range cfg.AroundResponses {
		h.server.AroundResponses(f)
	}
	for _, f := range cfg.AroundRootFields {
		h.server.AroundRootFields(f)
	}
	for _, f := range cfg.AroundFields {
		h.server.AroundFields(f)
	}
	return h
}

// ServeHTTP serves one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.server.ServeHTTP(w, r) }

// Connections is the number of open websockets and of open event streams.
func (h *Handler) Connections() (sockets, streams int) { return h.websocket.Len(), h.sse.Len() }

// Shutdown tells the clients of all sockets and streams to come again elsewhere
// and waits for their operations until ctx ends. Call it before
// http.Server.Shutdown, which knows nothing of sockets and would wait for
// streams for ever.
func (h *Handler) Shutdown(ctx context.Context) error {
	streams := make(chan error, 1)
	go func() { streams <- h.sse.Shutdown(ctx) }()
	return errors.Join(h.websocket.Shutdown(ctx), <-streams)
}
