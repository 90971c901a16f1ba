package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/gorilla/websocket"
)

// line is one conversation of either server.
type line struct {
	id            string // of the conversation
	session       string // of the conversation at the desk
	authorization string // of the user's chat

	toUser *track // the desk's webhook call → the frame of the user's websocket
	toDesk *track // the user's post → the call of the desk's server
	stored *track // a post → its answer; the floor only

	socket *websocket.Conn
	closed chan struct{} // the reader of the socket has ended
	seq    int64         // number of the newest event that the socket has brought
}

// system is a server that is measured.
type system interface {
	// lines makes conversations that are ready for messages.
	lines(ctx context.Context, n int) ([]*line, error)
	// subscribe connects the websocket of a line and waits until it works.
	subscribe(ctx context.Context, l *line) error
	running() *process
}

// connections made at the same time: enough to be quick, few enough not to fill
// the queue of the listening socket.
const atOnce = 32

func subscribeAll(ctx context.Context, s system, lines []*line) error {
	return forEach(ctx, len(lines), atOnce, func(ctx context.Context, i int) error { return s.subscribe(ctx, lines[i]) })
}

func hangUp(lines []*line) {
	for _, l := range lines {
		l.hangUp()
	}
}

// hangUp closes the websocket, if there is one, and waits for its reader.
func (l *line) hangUp() {
	if l.socket == nil {
		return
	}
	_ = l.socket.Close()
	<-l.closed
	l.socket = nil
}

func tracksOf(lines []*line, which func(*line) *track) []*track {
	tracks := make([]*track, len(lines))
	for i, l := range lines {
		tracks[i] = which(l)
	}
	return tracks
}

func toUserOf(l *line) *track { return l.toUser }
func toDeskOf(l *line) *track { return l.toDesk }
func storedOf(l *line) *track { return l.stored }

// webhookBody is what a webhook desk posts, and what the floor gets as well.
func webhookBody(session, text string) []byte {
	return fmt.Appendf(nil, `{"conversation_id":%q,"timestamp":%d,"body":%q}`, session, time.Now().UnixMilli(), text)
}

// secret is a random text for credentials.
func secret() string { return rand.Text() }
