// Command testserver serves the transports' test schema at /graphql and the IDE
// at /ide/, for the suites in e2e and for a look in a browser. It prints its URL
// and stops on SIGTERM as the real server does.
//
// A client that presents a token other than the one in TESTSERVER_TOKEN is
// refused; one that presents none is let in.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"handoff/graph/transport"
	"handoff/graph/transport/ide"
	"handoff/graph/transport/internal/testschema"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()

	graphql := transport.NewHandler(testschema.New(&testschema.Root{Fail: transport.AddSubscriptionError}), transport.Config{
		Introspection: true,
		Websocket:     transport.WebsocketConfig{OnInit: onInit},
	})
	mux := http.NewServeMux()
	mux.Handle("/graphql", graphql)
	mux.Handle("/ide/", http.StripPrefix("/ide", ide.Handler("/graphql")))

	listener, err := net.Listen("tcp", cmp.Or(os.Getenv("TESTSERVER_ADDR"), "127.0.0.1:0"))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	fmt.Printf("http://%s/graphql\n", listener.Addr())

	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(graphql.Shutdown(ctx), server.Shutdown(ctx))
}

func onInit(ctx context.Context, payload json.RawMessage, _ *http.Request) (context.Context, time.Time, error) {
	var params struct{ Authorization string }
	if payload != nil {
		if err := json.Unmarshal(payload, &params); err != nil {
			return nil, time.Time{}, err
		}
	}
	if params.Authorization != "" && params.Authorization != "Bearer "+os.Getenv("TESTSERVER_TOKEN") {
		return nil, time.Time{}, errors.New("wrong token")
	}
	return ctx, time.Time{}, nil
}
