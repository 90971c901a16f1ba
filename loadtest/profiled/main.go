// Command profiled is the service with a profiler beside it: the same assembly, and
// net/http/pprof on a loopback port of its own, which it prints as its second
// address. It exists for the load test; the released binary has no such port.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"syscall"
	"time"

	"handoff/internal/app"
	"handoff/internal/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "profiled:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	c, err := config.Load(config.Environ())
	if err != nil {
		return err
	}
	a, err := app.New(ctx, c, app.Options{Log: app.NewLogger(c, os.Stderr), Version: "profiled"})
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, a.Stop(ctx))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	profiler := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = profiler.Serve(listener) }()
	a.Start(ctx)
	fmt.Fprintf(os.Stdout, "%s http://%s\n", a.URL(), listener.Addr())
	select {
	case <-ctx.Done():
	case err = <-a.Failed():
	}
	return errors.Join(err, profiler.Close(), a.Stop(ctx))
}
