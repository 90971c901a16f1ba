package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"handoff/loadtest/floor"
	"handoff/loadtest/history"
)

// goals of the relay by database: Postgres, SQLite.
var (
	webhookGoal    = map[string]int{postgres: 1, sqlite: 2}
	throughputGoal = map[string]goal{
		postgres: {Number: 5, Limit: 0.6, AtLeast: true, Of: ofRatio},
		sqlite:   {Number: 5, Limit: 0.5, AtLeast: true, Of: ofRatio},
	}
)

// latencies are the figures of a latency reading. At a slow pace the processor time
// is left out: most of it would be that of waiting.
func latencies(scenario string, d *database, conversations int, p pace) []*figure {
	title := fmt.Sprintf("%g/s over %s conversations", p.perSecond, thousands(conversations))
	figures := []*figure{
		{Scenario: scenario, Database: d.kind, Case: title, Metric: "p50", Unit: "ms"},
		{Scenario: scenario, Database: d.kind, Case: title, Metric: "p99", Unit: "ms"},
	}
	if p.perSecond >= 50 {
		figures = append(figures, &figure{Scenario: scenario, Database: d.kind, Case: title, Metric: processor, Unit: "µs each"})
	}
	return figures
}

// webhook: an Operator writes at the desk, the user's chat shows it.
func (b *bench) webhook(ctx context.Context, d *database) error {
	return b.pair(ctx, d, func(ours *server, bare *floorServer) error {
		ourLines, err := ours.lines(ctx, b.plan.webhookConversations)
		if err != nil {
			return err
		}
		floorLines, err := bare.lines(ctx, b.plan.webhookConversations)
		if err != nil {
			return err
		}
		defer hangUp(ourLines)
		defer hangUp(floorLines)
		if err := errors.Join(subscribeAll(ctx, ours, ourLines), subscribeAll(ctx, bare, floorLines)); err != nil {
			return err
		}
		for _, p := range b.plan.webhookRates {
			figures := latencies("webhook", d, b.plan.webhookConversations, p)
			if p.perSecond == 500 {
				figures[0].Goal = &goal{Number: webhookGoal[d.kind], Limit: 1.5, Of: ofRatio}
				figures[1].Goal = &goal{Number: webhookGoal[d.kind], Limit: 2, Of: ofRatio}
			}
			read := b.profiledOnce(ours, fmt.Sprintf("%s-webhook-%g", d.kind, p.perSecond), p.during,
				b.latency(ours, tracksOf(ourLines, toUserOf), toUser, p))
			if err := b.compare(ctx, figures, read, b.latency(bare, tracksOf(floorLines, toUserOf), toUser, p)); err != nil {
				return err
			}
		}
		return nil
	})
}

// message: the user writes, the server of the desk is called.
func (b *bench) message(ctx context.Context, d *database) error {
	return b.pair(ctx, d, func(ours *server, bare *floorServer) error {
		ourLines, err := ours.lines(ctx, b.plan.messageConversations)
		if err != nil {
			return err
		}
		floorLines, err := bare.lines(ctx, b.plan.messageConversations)
		if err != nil {
			return err
		}
		p := b.plan.messageRate
		figures := latencies("message", d, b.plan.messageConversations, p)
		figures[0].Goal = &goal{Number: 4, Limit: 2, Of: ofRatio}
		figures[1].Goal = &goal{Number: 4, Limit: 2.5, Of: ofRatio}
		read := b.profiledOnce(ours, fmt.Sprintf("%s-message-%g", d.kind, p.perSecond), p.during,
			b.latency(ours, tracksOf(ourLines, toDeskOf), toDesk, p))
		return b.compare(ctx, figures, read, b.latency(bare, tracksOf(floorLines, toDeskOf), toDesk, p))
	})
}

// throughput: every conversation posts its next message when the last was answered.
func (b *bench) throughput(ctx context.Context, d *database) error {
	return b.pair(ctx, d, func(ours *server, bare *floorServer) error {
		for _, n := range b.plan.throughput {
			ourLines, err := ours.lines(ctx, n)
			if err != nil {
				return err
			}
			floorLines, err := bare.lines(ctx, n)
			if err != nil {
				return err
			}
			if err := subscribeAll(ctx, ours, ourLines); err != nil {
				return err
			}
			title := thousands(n) + " conversations"
			rate := &figure{Scenario: "throughput", Database: d.kind, Case: title, Metric: "rate", Unit: "/s"}
			if n == 64 {
				goal := throughputGoal[d.kind]
				rate.Goal = &goal
			}
			figures := []*figure{rate, {Scenario: "throughput", Database: d.kind, Case: title, Metric: processor, Unit: "µs each"}}
			read := b.profiledOnce(ours, fmt.Sprintf("%s-throughput-%d", d.kind, n), b.plan.throughputFor,
				b.saturation(ours, tracksOf(ourLines, toUserOf), b.plan.throughputFor))
			err = b.compare(ctx, figures, read, b.saturation(bare, tracksOf(floorLines, storedOf), b.plan.throughputFor))
			hangUp(ourLines)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// footprint is the memory of a process.
type footprint struct{ rss, heap, stack, goroutines float64 }

// memory: websockets that wait.
func (b *bench) memory(ctx context.Context, d *database) error {
	return b.pair(ctx, d, func(ours *server, bare *floorServer) error {
		most := b.plan.sockets[len(b.plan.sockets)-1]
		ourLines := make([]*line, most)
		if err := forEach(ctx, most, atOnce, func(ctx context.Context, i int) (err error) {
			ourLines[i], err = ours.begin(ctx)
			return err
		}); err != nil {
			return err
		}
		floorLines, err := bare.lines(ctx, most)
		if err != nil {
			return err
		}
		for _, n := range b.plan.sockets {
			title := thousands(n) + " websockets"
			figures := []*figure{
				{Scenario: "memory", Database: d.kind, Case: title, Metric: "resident", Unit: "kB each", Goal: &goal{Number: 7, Limit: 28, Of: ofValue}},
				{Scenario: "memory", Database: d.kind, Case: title, Metric: "heap", Unit: "kB each"},
				{Scenario: "memory", Database: d.kind, Case: title, Metric: "stack", Unit: "kB each"},
				{Scenario: "memory", Database: d.kind, Case: title, Metric: "goroutines", Unit: "each", Goal: &goal{Number: 7, Limit: 2, Of: ofValue}},
			}
			if err := b.compare(ctx, figures,
				func(ctx context.Context) ([]float64, error) {
					if err := errors.Join(ours.process.stop(), ours.start(ctx)); err != nil {
						return nil, err
					}
					return b.perSocket(ctx, ourLines[:n], ours.footprint, func(ctx context.Context, l *line) error {
						return ours.connect(ctx, l, func() {})
					}, ours.awaitSubscriptions)
				},
				func(ctx context.Context) ([]float64, error) {
					if err := errors.Join(bare.process.stop(), bare.start(ctx)); err != nil {
						return nil, err
					}
					return b.perSocket(ctx, floorLines[:n], bare.footprint, bare.subscribe, func(context.Context, int) error { return nil })
				},
			); err != nil {
				return err
			}
		}
		return nil
	})
}

// perSocket reads what each websocket of a fresh process adds to it.
func (b *bench) perSocket(ctx context.Context, lines []*line, look func(context.Context) (footprint, error),
	connect func(context.Context, *line) error, connected func(context.Context, int) error,
) ([]float64, error) {
	defer hangUp(lines)
	if err := rest(ctx, b.plan.settle/2); err != nil {
		return nil, err
	}
	before, err := look(ctx)
	if err != nil {
		return nil, err
	}
	if err := forEach(ctx, len(lines), atOnce, func(ctx context.Context, i int) error { return connect(ctx, lines[i]) }); err != nil {
		return nil, err
	}
	if err := connected(ctx, len(lines)); err != nil {
		return nil, err
	}
	if err := rest(ctx, b.plan.settle); err != nil {
		return nil, err
	}
	after, err := look(ctx)
	n := float64(len(lines))
	return []float64{
		(after.rss - before.rss) / 1e3 / n, (after.heap - before.heap) / 1e3 / n, (after.stack - before.stack) / 1e3 / n,
		(after.goroutines - before.goroutines) / n,
	}, err
}

func (s *server) footprint(ctx context.Context) (f footprint, err error) {
	for _, m := range []struct {
		name string
		into *float64
	}{
		{"go_memstats_heap_alloc_bytes", &f.heap}, {"go_memstats_stack_inuse_bytes", &f.stack}, {"go_goroutines", &f.goroutines},
	} {
		if *m.into, err = s.metric(ctx, m.name); err != nil {
			return f, err
		}
	}
	f.rss, err = s.process.rss()
	return f, err
}

// awaitSubscriptions waits until so many subscriptions are open.
func (s *server) awaitSubscriptions(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		open, err := s.metric(ctx, "handoff_subscriptions")
		if err != nil {
			return err
		}
		if int(open) == n {
			return nil
		}
		if err := rest(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("%g of %d subscriptions are open: %w", open, n, err)
		}
	}
}

func (f *floorServer) footprint(ctx context.Context) (footprint, error) {
	answer, err := get(ctx, f.process.url+floor.StatsPath)
	if err != nil {
		return footprint{}, err
	}
	var stats floor.Stats
	if err := json.Unmarshal(answer, &stats); err != nil {
		return footprint{}, err
	}
	rss, err := f.process.rss()
	return footprint{rss: rss, heap: stats.Heap, stack: stats.Stack, goroutines: stats.Goroutines}, err
}

// growth: the first three figures again, with history and open conversations. The
// floor has neither, so it shows what the machine itself did meanwhile.
func (b *bench) growth(ctx context.Context, d *database) error {
	var smallest []*figure
	for _, stored := range b.plan.stored {
		err := b.pair(ctx, d, func(ours *server, bare *floorServer) error {
			if err := ours.fill(ctx, stored); err != nil {
				return err
			}
			floorLines, err := bare.lines(ctx, b.plan.open[0])
			if err != nil {
				return err
			}
			defer hangUp(floorLines)
			if err := subscribeAll(ctx, bare, floorLines); err != nil {
				return err
			}
			var ourLines []*line
			defer func() { hangUp(ourLines) }()
			for _, open := range b.plan.open {
				more, err := ours.lines(ctx, open-len(ourLines))
				if err != nil {
					return err
				}
				if err := subscribeAll(ctx, ours, more); err != nil {
					return err
				}
				ourLines = append(ourLines, more...)
				figures, err := b.cell(ctx, d, fmt.Sprintf("%s stored, %s open", thousands(stored), thousands(open)), ours, bare, ourLines, floorLines)
				if err != nil {
					return err
				}
				if smallest == nil {
					smallest = figures
					continue
				}
				for i, f := range figures {
					f.smallest = smallest[i]
					if f.Metric == processor {
						continue
					}
					f.Goal = &goal{Number: 8, Limit: 1.2, AtLeast: f.Metric == relayedRate, Of: ofGrowth}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	relayedRate = "relayed, 10 at once"
	processor   = "processor"
)

// cell measures one size.
func (b *bench) cell(ctx context.Context, d *database, title string, ours *server, bare *floorServer, ourLines, floorLines []*line) ([]*figure, error) {
	named := func(metric, unit string) *figure {
		return &figure{Scenario: "growth", Database: d.kind, Case: title, Metric: metric, Unit: unit}
	}
	var all []*figure
	for _, part := range []struct {
		figures     []*figure
		ours, floor reading
	}{
		{
			[]*figure{named("webhook → frame p50", "ms"), named("webhook → frame p99", "ms")},
			b.profiledOnce(ours, d.kind+"-growth-webhook-"+title, b.plan.growthWebhook.during, b.latency(ours, tracksOf(ourLines, toUserOf), toUser, b.plan.growthWebhook)),
			b.latency(bare, tracksOf(floorLines, toUserOf), toUser, b.plan.growthWebhook),
		},
		{
			[]*figure{named("message → desk p50", "ms"), named("message → desk p99", "ms")},
			b.latency(ours, tracksOf(ourLines, toDeskOf), toDesk, b.plan.growthMessage),
			b.latency(bare, tracksOf(floorLines, toDeskOf), toDesk, b.plan.growthMessage),
		},
		{
			[]*figure{named(relayedRate, "/s"), named(processor, "µs each")},
			b.saturation(ours, tracksOf(ourLines[:len(floorLines)], toUserOf), b.plan.growthThroughput),
			b.saturation(bare, tracksOf(floorLines, storedOf), b.plan.growthThroughput),
		},
	} {
		if err := b.compare(ctx, part.figures, part.ours, part.floor); err != nil {
			return nil, err
		}
		all = append(all, part.figures...)
	}
	return all, nil
}

// fill gives the server a history and checks that it can read it.
func (s *server) fill(ctx context.Context, messages int) error {
	if err := s.process.stop(); err != nil {
		return err
	}
	address := s.place.url
	if address == "" {
		address = s.place.file()
	}
	owner := history.Owner{AgentID: s.agentID, ConnectionID: s.connectionID}
	if err := history.Fill(ctx, address, owner, messages, time.Now()); err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	var found struct {
		Agent struct {
			Conversations struct {
				Nodes []struct {
					LastSeq int
					Events  struct{ Nodes []struct{ Seq int } }
				}
			}
		}
	}
	if err := s.runtime.do(ctx, `query($a: ID!) { agent(id: $a) { conversations(first: 1) { nodes { lastSeq events(first: 100) { nodes { seq } } } } } }`,
		vars{"a": s.agentID}, &found); err != nil {
		return fmt.Errorf("read the history: %w", err)
	}
	newest := found.Agent.Conversations.Nodes
	if len(newest) != 1 || newest[0].LastSeq < history.MessagesPerConversation || len(newest[0].Events.Nodes) != newest[0].LastSeq {
		return fmt.Errorf("the history cannot be read: %+v", newest)
	}
	return nil
}

// start: how long until the service is ready, and what it takes when nobody uses it.
func (b *bench) start(ctx context.Context, d *database) error {
	return b.withPlace(d, func(p *place) error {
		ours, err := startServer(ctx, b.binary, p, b.desk)
		if err != nil {
			return err
		}
		if err := ours.process.stop(); err != nil {
			return err
		}
		size, err := os.Stat(b.binary)
		if err != nil {
			return err
		}
		const title = "an existing database"
		ready := &figure{Scenario: "start", Database: d.kind, Case: title, Metric: "start to ready", Unit: "s", Goal: &goal{Number: 11, Limit: 0.3, Of: ofValue}}
		idle := &figure{Scenario: "start", Database: d.kind, Case: title, Metric: "resident, idle", Unit: "MB", Goal: &goal{Number: 11, Limit: 40, Of: ofValue}}
		for range b.plan.starts {
			begin := time.Now()
			if err := ours.start(ctx); err != nil {
				return err
			}
			if err := awaitReady(ctx, ours.process.url); err != nil {
				return errors.Join(err, ours.process.stop())
			}
			ready.Ours = append(ready.Ours, time.Since(begin).Seconds())
			if err := rest(ctx, b.plan.idle); err != nil {
				return errors.Join(err, ours.process.stop())
			}
			resident, err := ours.process.rss()
			idle.Ours = append(idle.Ours, resident/1e6)
			if err := errors.Join(err, ours.process.stop()); err != nil {
				return err
			}
		}
		b.figures = append(b.figures, ready, idle, &figure{
			Scenario: "start", Database: d.kind, Case: "static, stripped", Metric: "binary", Unit: "MB",
			Ours: []float64{float64(size.Size()) / 1e6}, Goal: &goal{Number: 11, Limit: 40, Of: ofValue},
		})
		return nil
	})
}

// rest waits.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
