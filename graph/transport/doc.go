// Package transport is everything between net/http and gqlgen's executor:
// GraphQL over HTTP, over Server-Sent Events and over websocket, and the limits
// that hold for all three. It knows nothing of a schema or of the business;
// callers bring an executable schema and hooks.
//
//	h := transport.NewHandler(schema, transport.Config{
//		ErrorPresenter: present,
//		Websocket: transport.WebsocketConfig{
//			OnInit: func(ctx context.Context, payload json.RawMessage, r *http.Request) (context.Context, time.Time, error) {
//				caller, err := authenticate(ctx, payload, r.Header)
//				if err != nil {
//					return nil, time.Time{}, err // closes with 4403
//				}
//				return withCaller(ctx, caller), caller.ExpiresAt, nil
//			},
//		},
//	})
//	mux.Handle("/graphql", h)
//	…
//	h.Shutdown(ctx)      // first: tells clients to reconnect
//	server.Shutdown(ctx) // then
//
// # For resolvers
//
// A subscription's resolver returns a channel and closes it when the stream has
// ended. Three things to know:
//
//   - Its context ends when the client completes or leaves, when its token
//     expires, and when the server stops. Sending to the channel must give up
//     then; [context.AfterFunc] deregisters without a goroutine.
//   - Closing the channel tells the client that the stream is finished, and it
//     will not come again. When the stream broke instead (the subscriber was too
//     slow, its source failed), call [AddSubscriptionError] first. gqlgen's
//     function of that name panics here.
//   - Events are taken from the channel one by one and written at once, with a
//     deadline; a client that does not read blocks the sender for no longer than
//     WriteTimeout. Buffering, and what to do about slow clients before that, is
//     the resolver's.
//
// Over a websocket graphql.OperationContext.Headers is empty: the request ended
// with the upgrade. OnInit puts what resolvers need of it into the context.
//
// To end a socket from elsewhere (a key was revoked), cancel the context that
// OnInit returned; a [CloseError] as its cause chooses the close code.
//
// # Websocket
//
// The protocol is graphql-transport-ws, complete
// (https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md), and nothing
// else: the legacy graphql-ws subprotocol is refused. gqlgen's own transport is
// not used. It has no write deadline, so that a client that stops reading holds
// its goroutines for ever; it closes with codes that clients misunderstand; it
// bounds neither operations nor messages; and it keeps the HTTP request alive as
// long as the socket. Here a socket is one goroutine that reads, plus one per
// subscription that waits for events.
//
// What happened decides what the client does next, so the close codes matter
// (see the constants). Where the protocol leaves a choice:
//
//   - A token that expires closes with 4403, not 4401: the npm client graphql-ws
//     connects again after 4403, asking for fresh connectionParams, and gives up
//     for good after 4401.
//   - A connection over the limit is answered 503 before the upgrade. It costs
//     less than a socket that is closed with 1013, proxies understand it, and
//     graphql-ws retries after both.
//   - Too many messages close with 1008, which graphql-ws does not retry: a
//     client in a loop would only go on. The burst leaves room for a client that
//     subscribes to everything again after a reconnect.
//   - A stop closes with 1012 and cancels operations only after the close frame:
//     the `complete` of a cancelled operation must never overtake it, or the
//     client takes its stream for finished.
//   - A request that is not executed (syntax, validation, limits) is an `error`
//     message; errors of resolvers are in a `next`, also when the resolver of a
//     subscription fails before its stream starts.
//
// # Server-Sent Events
//
// The "distinct connections mode" of
// https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md. See [SSE].
//
// # HTTP
//
// GET and POST by https://graphql.github.io/graphql-over-http/draft/; all 61
// audits of npm graphql-http pass (e2e/graphql-http-audit.mjs). See [HTTP].
//
// A page of another site can make a browser send GETs and simple POSTs here. It
// can do no harm: a GET runs queries only, a POST must be application/json, which
// browsers announce by a preflight, and a websocket must come from an allowed
// origin.
package transport
