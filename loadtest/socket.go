package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// dial opens a websocket. Buffers are small because there are thousands.
func dial(ctx context.Context, url, subprotocol string) (*websocket.Conn, error) {
	dialer := websocket.Dialer{HandshakeTimeout: 20 * time.Second, ReadBufferSize: 1 << 10, WriteBufferSize: 1 << 10}
	if subprotocol != "" {
		dialer.Subprotocols = []string{subprotocol}
	}
	conn, response, err := dialer.DialContext(ctx, "ws"+strings.TrimPrefix(url, "http"), http.Header{})
	if response != nil {
		_ = response.Body.Close()
	}
	return conn, err
}

// listen reads frames in a goroutine until the socket is closed; each must be to
// handle's liking.
func (l *line) listen(conn *websocket.Conn, handle func(frame []byte) error) {
	l.socket, l.closed = conn, make(chan struct{})
	go func() {
		defer close(l.closed)
		for {
			_, frame, err := conn.ReadMessage()
			if err == nil {
				err = handle(frame)
			}
			if err != nil {
				l.toUser.broken(fmt.Errorf("%s: websocket: %w", l.id, err))
				return
			}
		}
	}()
}
