package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// scenarios in the order of the report. Each measures one database.
var scenarios = []struct {
	name, title string
	run         func(*bench, context.Context, *database) error
}{
	{"webhook", "Webhook of the desk in → frame of the user's websocket out", (*bench).webhook},
	{"message", "Message of the user in → desk called", (*bench).message},
	{"throughput", "Relayed messages per second at saturation", (*bench).throughput},
	{"memory", "Memory of an idle subscription", (*bench).memory},
	{"growth", "The same with much history and many open conversations", (*bench).growth},
	{"start", "Start, size and idle memory", (*bench).start},
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}

// bench is one run of the program.
type bench struct {
	options
	out     io.Writer
	binary  string
	desk    *desk
	machine machine
	figures []*figure
}

// measure runs what the options ask for and reports.
func measure(ctx context.Context, o options, out io.Writer) (err error) {
	b := &bench{options: o, out: out}
	if b.machine, err = lookAtMachine(ctx); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "handoff-loadtest-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if b.binary, err = build(ctx, dir, o.profiles != ""); err != nil {
		return err
	}
	if b.desk, err = startDesk(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.desk.stop()) }()
	var databases []*database
	defer func() {
		for _, d := range databases {
			err = errors.Join(err, d.close())
		}
	}()
	for _, kind := range o.databases {
		d, err := openDatabase(ctx, kind, o.scratch)
		if err != nil {
			return err
		}
		databases = append(databases, d)
		b.machine.Databases = append(b.machine.Databases, d.version)
	}
	fmt.Fprintf(out, "%s\n", b.machine.describe())
	if b.machine.OtherLoad > tooBusy {
		fmt.Fprintf(out, "WARNING: something else keeps %.0f %% of this machine busy; the figures are worth little.\n", 100*b.machine.OtherLoad)
	}
	for _, s := range scenarios {
		if !slices.Contains(o.scenarios, s.name) {
			continue
		}
		for _, d := range databases {
			begin := time.Now()
			if err := s.run(b, ctx, d); err != nil {
				return fmt.Errorf("%s on %s: %w", s.name, d.kind, err)
			}
			fmt.Fprintf(out, "%s on %s took %s\n", s.name, d.kind, time.Since(begin).Round(time.Second))
		}
		fmt.Fprintf(out, "\n%s\n\n%s\n", s.title, b.table(s.name))
	}
	fmt.Fprintln(out, "Every message arrived once and in order.")
	return b.save()
}

// tooBusy is the part of the machine that others may use without a warning.
const tooBusy = 0.05

// pair starts both servers on empty databases of their own, and stops them after fn.
func (b *bench) pair(ctx context.Context, d *database, fn func(ours *server, bare *floorServer) error) error {
	return b.withPlace(d, func(p *place) error {
		ours, err := startServer(ctx, b.binary, p, b.desk)
		if err != nil {
			return err
		}
		return errors.Join(b.withPlace(d, func(p *place) error {
			bare, err := startFloor(ctx, p, b.desk)
			if err != nil {
				return err
			}
			return errors.Join(fn(ours, bare), bare.process.stop())
		}), ours.process.stop())
	})
}

func (b *bench) withPlace(d *database, fn func(*place) error) error {
	p, err := d.empty()
	if err != nil {
		return err
	}
	return errors.Join(fn(p), p.drop())
}

// reading measures once; it gives one value per figure.
type reading func(ctx context.Context) ([]float64, error)

// compare reads both servers in turns, so that a bad moment of the machine meets
// both, and adds the figures to the report.
func (b *bench) compare(ctx context.Context, figures []*figure, ours, floor reading) error {
	for range b.plan.runs {
		for _, side := range []struct {
			read reading
			into func(*figure) *[]float64
		}{
			{ours, func(f *figure) *[]float64 { return &f.Ours }},
			{floor, func(f *figure) *[]float64 { return &f.Floor }},
		} {
			if side.read == nil {
				continue
			}
			values, err := side.read(ctx)
			if err != nil {
				return err
			}
			for i, f := range figures {
				into := side.into(f)
				*into = append(*into, values[i])
			}
		}
	}
	b.figures = append(b.figures, figures...)
	for _, f := range figures {
		fmt.Fprintf(b.out, "  %s: %s %s, %s %s %s\n", f.Database, f.Scenario, f.Case, f.Metric, number(median(f.Ours)), f.Unit)
	}
	return nil
}

// latency reads the median and the 99th percentile at a steady load, in
// milliseconds, and the processor time of the server per message in microseconds.
func (b *bench) latency(s system, tracks []*track, mark rune, p pace) reading {
	return func(ctx context.Context) ([]float64, error) {
		if _, err := steady(ctx, tracks, mark, pace{p.perSecond, b.plan.warmUp}); err != nil {
			return nil, err
		}
		var m *meter
		spent, err := processorTimeOf(s, func() (err error) {
			m, err = steady(ctx, tracks, mark, p)
			return err
		})
		if err != nil {
			return nil, err
		}
		return []float64{percentile(m.latencies, 50), percentile(m.latencies, 99), spent / float64(len(m.latencies))}, nil
	}
}

// saturation reads the messages per second, and the processor time of the server
// per message in microseconds.
func (b *bench) saturation(s system, tracks []*track, during time.Duration) reading {
	return func(ctx context.Context) ([]float64, error) {
		if _, _, err := saturated(ctx, tracks, toUser, b.plan.warmUp); err != nil {
			return nil, err
		}
		var (
			rate     float64
			messages int
		)
		spent, err := processorTimeOf(s, func() (err error) {
			rate, messages, err = saturated(ctx, tracks, toUser, during)
			return err
		})
		return []float64{rate, spent / float64(messages)}, err
	}
}

// processorTimeOf gives the microseconds that the server computes while fn runs.
func processorTimeOf(s system, fn func() error) (float64, error) {
	before, err := s.running().cpu()
	if err != nil {
		return 0, err
	}
	if err := fn(); err != nil {
		return 0, err
	}
	after, err := s.running().cpu()
	return float64((after - before).Microseconds()), err
}

// profiledOnce takes a CPU profile of the first reading.
func (b *bench) profiledOnce(s *server, name string, during time.Duration, read reading) reading {
	if b.profiles == "" {
		return read
	}
	taken := false
	return func(ctx context.Context) ([]float64, error) {
		if taken {
			return read(ctx)
		}
		taken = true
		result := make(chan error, 1)
		go func() { result <- b.profile(ctx, s, name, b.plan.warmUp+during) }()
		values, err := read(ctx)
		return values, errors.Join(err, <-result)
	}
}

// maxProfile is below the patience of httpClient.
const maxProfile = 20 * time.Second

func (b *bench) profile(ctx context.Context, s *server, name string, during time.Duration) error {
	if len(s.process.printed) < 2 {
		return errors.New("the server has no profiler")
	}
	seconds := min(during, maxProfile).Seconds()
	profile, err := get(ctx, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", s.process.printed[1], int(seconds)))
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	if err := os.MkdirAll(b.profiles, 0o755); err != nil {
		return err
	}
	file := filepath.Join(b.profiles, strings.NewReplacer(" ", "-", "/", "-", ",", "").Replace(name)+".pprof")
	return os.WriteFile(file, profile, 0o600)
}
