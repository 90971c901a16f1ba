package graph

import (
	"time"

	"github.com/99designs/gqlgen/graphql"

	"handoff/internal/auth"
	"handoff/internal/handoff"
	"handoff/internal/stream"
)

// Dependencies are what the API is built from. All are required.
type Dependencies struct {
	Service   *handoff.Service
	Hub       *stream.Hub
	Auth      *auth.Authenticator // is told of revoked keys
	Tokens    *auth.UserTokens
	PublicURL string // where desks reach this service; message receiving addresses begin with it
	Now       func() time.Time
}

// New makes the schema with its resolvers, its directive and the costs of its
// fields. Serve it with the [ErrorPresenter], and let the context of each
// operation carry the caller (package auth) and the request id ([WithRequestID]).
func New(d Dependencies) graphql.ExecutableSchema {
	return NewExecutableSchema(config(d))
}

func config(d Dependencies) Config {
	return Config{
		Resolvers:  &Resolver{service: d.Service, hub: d.Hub, auth: d.Auth, tokens: d.Tokens, publicURL: d.PublicURL, now: d.Now},
		Directives: DirectiveRoot{Access: access},
		Complexity: costs(),
	}
}

// Resolver answers the fields of the schema: it checks who asks, calls the
// business, and puts the answer into the types of the API.
type Resolver struct {
	service   *handoff.Service
	hub       *stream.Hub
	auth      *auth.Authenticator
	tokens    *auth.UserTokens
	publicURL string
	now       func() time.Time
}
