// Command loadtest measures the service beside a floor: the least that could do
// the same job, on the same machine in the same run. While it measures it checks
// that every message arrives once and in order; a message that does not is a
// failure, a slow one is not.
//
//	go run ./loadtest                         everything, both databases, about 40 minutes
//	go run ./loadtest -quick                  the same in small, about two minutes
//	go run ./loadtest -db sqlite -scenario webhook,message
//	go run ./loadtest -md                     writes the figures into docs/performance.md
//
// The server under test is the real binary in a process of its own, and so is the
// floor. This process makes the load: the desk that calls the webhook and is
// called, the runtime that posts what users write, and the users' websockets.
//
// Postgres is the server that DATABASE_URL names (databases of its own are made
// there and dropped), or else a durable one that is started from the binaries of
// this machine and removed afterwards. Needs Linux: memory is read from /proc.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"handoff/loadtest/floor"
)

// floorCommand makes this binary a floor server; see package floor.
const floorCommand = "floor"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "loadtest:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, errOut io.Writer) error {
	if len(args) > 0 && args[0] == floorCommand {
		return floor.Serve(ctx, args[1:], out)
	}
	o, err := parse(args, errOut)
	if err != nil {
		return err
	}
	// Less work for this process's collector, which would be taken for the servers' slowness.
	debug.SetGCPercent(400)
	return measure(ctx, o, out)
}

// options are what the command line says.
type options struct {
	command   string // the line itself, for the report
	databases []string
	scenarios []string
	plan      plan
	json      string // file
	writePage bool
	profiles  string // directory; "" = the real binary, not profiled
	scratch   string // directory for databases and logs
}

func parse(args []string, errOut io.Writer) (options, error) {
	o := options{command: strings.Join(append([]string{"go run ./loadtest"}, args...), " ")}
	flags := flag.NewFlagSet("loadtest", flag.ContinueOnError)
	flags.SetOutput(errOut)
	db := flags.String("db", "both", "sqlite, postgres or both")
	quick := flags.Bool("quick", false, "everything in small, in about two minutes: a check that all arrives, not a measurement")
	chosen := flags.String("scenario", "all", "some of "+strings.Join(scenarioNames(), ",")+", or all")
	runs := flags.Int("runs", 0, "measure each figure so often and take the median (default 3, with -quick 1)")
	flags.StringVar(&o.json, "json", "", "also write the figures of every run into this `file`")
	flags.BoolVar(&o.writePage, "md", false, "also write the tables into "+page)
	flags.StringVar(&o.profiles, "profile", "", "run the server under a profiler and write CPU profiles into this `directory`; the figures are not comparable then")
	flags.StringVar(&o.scratch, "dir", "/var/tmp", "where databases live while they are measured: a real disk, not memory")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("what is %q? See -h", flags.Arg(0))
	}
	o.plan = full
	if *quick {
		o.plan = small
	}
	if *runs > 0 {
		o.plan.runs = *runs
	}
	switch *db {
	case sqlite, postgres:
		o.databases = []string{*db}
	case "both":
		o.databases = []string{sqlite, postgres}
	default:
		return o, fmt.Errorf("-db is %q, must be sqlite, postgres or both", *db)
	}
	o.scenarios = strings.Split(*chosen, ",")
	if *chosen == "all" {
		o.scenarios = scenarioNames()
	}
	for _, name := range o.scenarios {
		if !slices.Contains(scenarioNames(), name) {
			return o, fmt.Errorf("-scenario has %q, must be some of %s", name, strings.Join(scenarioNames(), ","))
		}
	}
	return o, nil
}
