package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"handoff/loadtest/floor"
)

// floorServer is the floor; see package floor.
type floorServer struct {
	process *process
	place   *place
	desk    *desk
	made    atomic.Int64
}

func startFloor(ctx context.Context, p *place, d *desk) (*floorServer, error) {
	f := &floorServer{place: p, desk: d}
	return f, f.start(ctx)
}

// start starts the process, perhaps again.
func (f *floorServer) start(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	target := f.place.url
	if target == "" {
		target = filepath.Join(f.place.dir, "floor.db")
	}
	f.process, err = startProcess(ctx, filepath.Join(f.place.dir, "floor.log"), os.Environ(), self, floorCommand, target, f.desk.url+"/chat")
	return err
}

func (f *floorServer) running() *process { return f.process }

func (f *floorServer) lines(_ context.Context, n int) ([]*line, error) {
	lines := make([]*line, n)
	for i := range lines {
		lines[i] = f.line()
	}
	return lines, nil
}

func (f *floorServer) line() *line {
	l := &line{id: fmt.Sprintf("floor-%d", f.made.Add(1)), authorization: "Bearer " + secret()}
	l.session = l.id
	to := func(path string) func(context.Context, string) error {
		return func(ctx context.Context, text string) error {
			_, err := post(ctx, f.process.url+path, l.authorization, webhookBody(l.session, text))
			return err
		}
	}
	l.toUser = &track{name: l.id + " to the user", send: to(floor.RelayPath)}
	l.toDesk = &track{name: l.id + " to the desk", send: to(floor.CallPath)}
	store := to(floor.StorePath)
	l.stored = &track{name: l.id + " stored"}
	l.stored.send = func(ctx context.Context, text string) error {
		if err := store(ctx, text); err != nil {
			return err
		}
		number, _ := digitsAfter([]byte(text), string(toUser))
		l.stored.arrive(number)
		return nil
	}
	f.desk.expect(l.session, l.toDesk)
	return l
}

func (f *floorServer) subscribe(ctx context.Context, l *line) error {
	conn, err := dial(ctx, f.process.url+floor.SubscribePath+"?conversation="+l.id, "")
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if _, ready, err := conn.ReadMessage(); err != nil || string(ready) != floor.Ready {
		return fmt.Errorf("subscribe: the floor sent %q: %w", ready, err)
	}
	l.listen(conn, func(frame []byte) error {
		number, ok := numberAfter(frame, toUser)
		if !ok {
			return errors.New("a frame without a number")
		}
		l.toUser.arrive(number)
		return nil
	})
	return nil
}
