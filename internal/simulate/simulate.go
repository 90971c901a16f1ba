// Package simulate lets a person try a desk without an account at its vendor: it
// runs the desk's simulator as a server of its own and puts the people at the desk
// into that person's hands, on a page and by a small HTTP interface.
//
//	/              the vendor's API, for the service to call
//	/simulator     the page
//	/simulator/…   the interface of the page; see [room]
//
// A desk is added by one line in [desks].
package simulate

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Desk is a simulated desk, as whoever plays it sees it. Implementations are safe
// for concurrent use.
type Desk interface {
	http.Handler // the vendor's API
	// Form is what to enter in the connection form, in order.
	Form() []Entry
	// Commands are what the people at the desk, and the users of its messenger, can do.
	Commands() []Command
	// Sessions is everything that was said, oldest session first.
	Sessions() []Session
	// Do carries out a command. Its error is for the person who gave it.
	Do(Order) error
	// Webhooks gives what is to be sent since the last call, in order.
	Webhooks() []Webhook
	// Refuse answers a call of the API as the vendor does with this HTTP status.
	Refuse(w http.ResponseWriter, status int)
}

// Entry is one input of the connection form.
type Entry struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Note  string `json:"note,omitempty"`
}

// Command is something that can be done.
type Command struct {
	Name  string `json:"name"`
	Label string `json:"label"`
	// New: it begins a session; else it is about one.
	New bool `json:"new,omitempty"`
	// By are those who can do it; empty = it needs nobody.
	By []string `json:"by,omitempty"`
	// To are those whom it can be done to; empty = nobody.
	To []string `json:"to,omitempty"`
	// Text is the label of a text to enter; "" = none.
	Text string `json:"text,omitempty"`
}

// Order is a command with its particulars.
type Order struct {
	Do      string `json:"do"`
	Session string `json:"session"`
	By      string `json:"by"`
	To      string `json:"to"`
	Text    string `json:"text"`
	// Files are addresses of files that go with the text.
	Files []string `json:"files"`
}

// Session is one conversation at the desk.
type Session struct {
	ID    string `json:"id"`
	State string `json:"state"`
	User  string `json:"user"`
	// Holder is who has to answer; "" = nobody in particular.
	Holder string `json:"holder,omitempty"`
	Lines  []Line `json:"lines"`
}

// Line is something said or done.
type Line struct {
	ID    string    `json:"id"`
	At    time.Time `json:"at"`
	Kind  string    `json:"kind"` // in the vendor's words
	By    string    `json:"by"`
	Side  string    `json:"side"` // user, desk or bot
	Text  string    `json:"text,omitempty"`
	Files []string  `json:"files,omitempty"`
	// Private: the user does not see it.
	Private bool `json:"private,omitempty"`
}

// Webhook is a request to the message receiving address.
type Webhook struct {
	Topic  string
	Path   string // behind the address; "" = the address itself
	Header http.Header
	Body   []byte
}

// desks are the desks that can be simulated, in the order of lists.
var desks = []struct {
	kind, title string
	make        func() Desk
}{
	{"intercom", "Intercom", newIntercom},
	{"livechat", "LiveChat", newLiveChat},
}

// defaultAddr is where a simulator listens unless told otherwise.
const defaultAddr = "127.0.0.1:9090"

const usage = `Stands in for the server of a desk, for trying a configuration without an account.

Usage:
  handoff simulate DESK [-addr 127.0.0.1:9090] [-hook ADDRESS]

Desks:
`

// Run is the command: it serves the simulator of the desk that args name until ctx
// ends.
func Run(ctx context.Context, args []string, out, errOut io.Writer) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		fmt.Fprint(out, usage)
		for _, d := range desks {
			fmt.Fprintf(out, "  %-10s %s\n", d.kind, d.title)
		}
		return nil
	}
	for _, d := range desks {
		if d.kind != args[0] {
			continue
		}
		flags := flag.NewFlagSet("simulate "+d.kind, flag.ContinueOnError)
		flags.SetOutput(errOut)
		addr := flags.String("addr", defaultAddr, "`address` to listen on; port 0 takes any free port")
		hook := flags.String("hook", "", "message receiving `address` of the connection; it can also be given later, on the page")
		if err := flags.Parse(args[1:]); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil
			}
			return err
		}
		return serve(ctx, d.kind, d.title, d.make(), *addr, *hook, out)
	}
	return fmt.Errorf("no simulator for the desk %q; \"handoff simulate\" lists them", args[0])
}

func serve(ctx context.Context, kind, title string, d Desk, addr, hook string, out io.Writer) error {
	r := newRoom(d, title)
	if hook != "" {
		if err := r.sender.configure(sending{Address: hook, Copies: 1}); err != nil {
			return fmt.Errorf("-hook: %w", err)
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("-addr: %w", err)
	}
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		r.sender.run(sending)
	}()
	server := &http.Server{Handler: r.handler(), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	explain(out, kind, title, "http://"+listener.Addr().String(), d)
	select {
	case <-ctx.Done():
	case err = <-served:
	}
	err = errors.Join(err, server.Close())
	stop()
	<-sent
	return err
}

// explain prints what to do with the simulator.
func explain(out io.Writer, kind, title, url string, d Desk) {
	fmt.Fprintf(out, "%s is simulated at %s.\n\n", title, url)
	fmt.Fprintf(out, "1. Start the service with\n\n     HANDOFF_DESK_HOSTS=%s=%s\n\n", kind, url)
	fmt.Fprintf(out, "2. Connect the desk %q with these fields:\n\n", kind)
	for _, e := range d.Form() {
		fmt.Fprintf(out, "     %-16s %s", e.Name, e.Value)
		if e.Note != "" {
			fmt.Fprintf(out, "   (%s)", e.Note)
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintf(out, "\n3. Play the people at the desk, and enter the message receiving address, at\n\n     %s/simulator\n\n", url)
}
