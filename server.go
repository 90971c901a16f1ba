// Command handoff hands the users of AI agents over to human support desks and
// back. Run it without arguments to start the service; see the README.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"

	"handoff/internal/app"
	"handoff/internal/config"
	"handoff/internal/demo"
	"handoff/internal/simulate"
)

const usage = `Handoff hands the users of AI agents over to human support desks and back.

Usage:
  handoff            start the service
  handoff demo       start a service of its own and play one complete handoff
  handoff simulate   stand in for the server of a desk, with its operators in your hands
  handoff config     print the configuration reference
  handoff version    print the version

The service is configured by environment variables; "handoff config" lists them.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "handoff:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, errOut io.Writer) error {
	command := "serve"
	if len(args) > 0 {
		command = args[0]
	}
	switch command {
	case "serve":
		return serve(ctx, out, errOut)
	case "demo":
		return runDemo(ctx, args[1:], out, errOut)
	case "simulate":
		return simulate.Run(ctx, args[1:], out, errOut)
	case "config":
		_, err := io.WriteString(out, config.Reference())
		return err
	case "version":
		_, err := fmt.Fprintln(out, version())
		return err
	case "help", "-h", "--help", "-help":
		_, err := io.WriteString(out, usage)
		return err
	}
	return fmt.Errorf("unknown command %q\n\n%s", command, usage)
}

// version is the module version of a released build, else the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	if info.Main.Version != "" {
		return info.Main.Version
	}
	return "dev"
}

func serve(ctx context.Context, out, errOut io.Writer) error {
	c, err := config.Load(config.Environ())
	if err != nil {
		return err
	}
	a, err := app.New(ctx, c, app.Options{Log: app.NewLogger(c, errOut), Version: version()})
	if err != nil {
		return err
	}
	a.Start(ctx)
	welcome(out, a)
	select {
	case <-ctx.Done():
		err = nil
	case err = <-a.Failed():
	}
	if stopped := a.Stop(ctx); err == nil || errors.Is(err, http.ErrServerClosed) {
		err = stopped
	}
	return err
}

// welcome prints what a newcomer needs.
func welcome(out io.Writer, a *app.App) {
	c := a.Config()
	token, file, _ := a.AdminToken()
	database := "SQLite in " + c.DataDir
	if c.UsesPostgres() {
		database = "Postgres"
	}
	fmt.Fprintf(out, "Handoff %s is running.\n\n", version())
	fmt.Fprintf(out, "  GraphQL        %s/graphql   (a browser gets the IDE)\n", c.PublicURL)
	fmt.Fprintf(out, "  Health         %s/healthz   %s/readyz   %s/metrics\n", c.PublicURL, c.PublicURL, c.PublicURL)
	fmt.Fprintf(out, "  Database       %s\n", database)
	fmt.Fprintf(out, "  Data           %s\n", c.DataDir)
	for _, kind := range slices.Sorted(maps.Keys(c.DeskHosts)) {
		fmt.Fprintf(out, "  SIMULATED      the desk %s is at %s, by HANDOFF_DESK_HOSTS\n", kind, c.DeskHosts[kind])
	}
	if file == "" {
		fmt.Fprintf(out, "  Administrator  the token from HANDOFF_ADMIN_TOKEN\n\n")
		return
	}
	fmt.Fprintf(out, "  Administrator  Authorization: Bearer %s\n                 (kept in %s)\n\n", token, file)
}

// runDemo starts a server on a free port with its data in a temporary directory,
// unless told otherwise, and plays a handoff on it.
func runDemo(ctx context.Context, args []string, out, errOut io.Writer) (err error) {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(errOut)
	addr := flags.String("addr", "127.0.0.1:0", "address to listen on")
	data := flags.String("data", "", "data directory to use and keep (default: a temporary one)")
	verbose := flags.Bool("v", false, "show the log of the server")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	dir := *data
	if dir == "" {
		if dir, err = os.MkdirTemp("", "handoff-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	// DATABASE_URL is honoured, so that the demo can be played on Postgres too.
	c, err := config.Load(map[string]string{
		"HANDOFF_ADDR": *addr, "HANDOFF_DATA_DIR": dir, "HANDOFF_ALLOWED_PRIVATE_NETWORKS": "loopback",
		"DATABASE_URL": os.Getenv("DATABASE_URL"),
	})
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	if *verbose {
		log = app.NewLogger(c, errOut)
	}
	a, err := app.New(ctx, c, app.Options{Log: log, Version: version()})
	if err != nil {
		return err
	}
	a.Start(ctx)
	token, _, _ := a.AdminToken()
	played := demo.Run(ctx, demo.Options{URL: a.URL(), AdminToken: token, Out: out})
	return errors.Join(played, a.Stop(ctx))
}
