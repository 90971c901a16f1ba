package transport

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"handoff/graph/transport/internal/testschema"
)

// idleRole names the environment variable that turns the test binary into one
// of the processes of BenchmarkIdle.
const idleRole = "TRANSPORT_IDLE_ROLE"

// footprint is what a process holds.
type footprint struct {
	rss, heap, stack int64 // bytes; rss is anonymous memory only
	goroutines       int64
}

// BenchmarkIdle measures what an idle socket with one idle subscription costs,
// beside the smallest gorilla server there is: net/http, Upgrade, a read loop in
// the handler. Server and clients are processes of their own. "settled" is three
// seconds after the last connection, as the runtime leaves it; "collected" is
// after a forced collection that returns free memory to the system.
//
//	go test -run '^$' -bench Idle -benchtime 1x ./graph/transport
func BenchmarkIdle(b *testing.B) {
	for _, connections := range []int{1000, 5000} {
		b.Run(fmt.Sprint(connections), func(b *testing.B) {
			for b.Loop() {
				bare := measureIdle(b, "bare", connections)
				ours := measureIdle(b, "transport", connections)
				for i, when := range []string{"settled", "collected"} {
					b.Logf("%d, %s:\n  bare %s\n  ours %s\n  rss ours/bare %.2f", connections, when, bare[i], ours[i],
						float64(ours[i].rss)/float64(bare[i].rss))
				}
				b.ReportMetric(float64(ours[0].rss), "B-rss/conn")
				b.ReportMetric(float64(ours[0].rss)/float64(bare[0].rss), "x-bare-rss")
				b.ReportMetric(float64(ours[0].goroutines)/1000, "goroutines/conn")
			}
		})
	}
}

// String prints the cost of one connection; goroutines are counted in thousandths.
func (f footprint) String() string {
	return fmt.Sprintf("%5.1f kB rss, %5.1f kB heap, %5.1f kB stack, %.2f goroutines per connection",
		float64(f.rss)/1e3, float64(f.heap)/1e3, float64(f.stack)/1e3, float64(f.goroutines)/1e3)
}

// measureIdle gives the cost of one connection, settled and collected.
func measureIdle(b *testing.B, server string, connections int) [2]footprint {
	b.Helper()
	serverIn, serverOut := startRole(b, server)
	addr := ask(b, serverOut, nil, "")

	warm := connectIdle(b, server, addr, 100) // code pages, pools, caches
	warm()
	ask(b, serverOut, serverIn, "collect")
	before := parseFootprint(b, ask(b, serverOut, serverIn, "collect"))

	disconnect := connectIdle(b, server, addr, connections)
	time.Sleep(3 * time.Second)
	var cost [2]footprint
	for i, command := range []string{"look", "collect"} {
		after := parseFootprint(b, ask(b, serverOut, serverIn, command))
		n := int64(connections)
		cost[i] = footprint{
			rss:        (after.rss - before.rss) / n,
			heap:       (after.heap - before.heap) / n,
			stack:      (after.stack - before.stack) / n,
			goroutines: (after.goroutines - before.goroutines) * 1000 / n,
		}
	}
	disconnect()
	deadline := time.Now().Add(patience)
	for {
		left := parseFootprint(b, ask(b, serverOut, serverIn, "look"))
		if left.goroutines <= before.goroutines {
			return cost
		}
		require.True(b, time.Now().Before(deadline), "%d goroutines left, %d before", left.goroutines, before.goroutines)
	}
}

func connectIdle(b *testing.B, server, addr string, connections int) (disconnect func()) {
	in, out := startRole(b, fmt.Sprintf("clients %s %s %d", server, addr, connections))
	require.Equal(b, "ready", ask(b, out, nil, ""))
	return func() {
		require.NoError(b, in.Close())
		_, _ = io.ReadAll(out) // until it has exited
	}
}

func startRole(b *testing.B, role string) (io.WriteCloser, *bufio.Reader) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), idleRole+"="+role)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(b, err)
	out, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	b.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	return in, bufio.NewReader(out)
}

func ask(b *testing.B, out *bufio.Reader, in io.Writer, command string) string {
	b.Helper()
	if command != "" {
		_, err := fmt.Fprintln(in, command)
		require.NoError(b, err)
	}
	line, err := out.ReadString('\n')
	require.NoError(b, err)
	return strings.TrimSpace(line)
}

func parseFootprint(b *testing.B, line string) (f footprint) {
	b.Helper()
	_, err := fmt.Sscan(line, &f.rss, &f.heap, &f.stack, &f.goroutines)
	require.NoError(b, err, line)
	return f
}

// playIdleRole is the main function of the processes that startRole starts. They
// end when their standard input does.
func playIdleRole(role string) {
	words := strings.Fields(role)
	switch words[0] {
	case "bare":
		serveIdle(http.HandlerFunc(bareEcho))
	case "transport":
		logger := slog.New(slog.DiscardHandler)
		// Pings come often enough that each socket has answered two of them when it
		// is measured: reading an answer must not leave anything behind.
		serveIdle(NewHandler(testschema.New(newRoot()), Config{Logger: logger, Websocket: WebsocketConfig{PingInterval: time.Second}}))
	case "clients":
		var n int
		fmt.Sscan(words[3], &n)
		playClients(words[1], words[2], n)
	}
}

// bareEcho is the floor: the example of gorilla's documentation.
func bareEcho(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	for {
		kind, data, err := conn.ReadMessage()
		if err != nil || conn.WriteMessage(kind, data) != nil {
			return
		}
	}
}

func serveIdle(h http.Handler) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server := &http.Server{Handler: h}
	go server.Serve(listener)
	fmt.Println(listener.Addr())
	for commands := bufio.NewScanner(os.Stdin); commands.Scan(); {
		if commands.Text() == "collect" {
			runtime.GC()
			debug.FreeOSMemory()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Println(anonymousRSS(), m.HeapAlloc, m.StackInuse, runtime.NumGoroutine())
	}
}

// anonymousRSS is RssAnon of proc(5): resident memory without mapped files.
func anonymousRSS() (bytes int64) {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			fmt.Sscan(rest, &bytes)
		}
	}
	return bytes << 10
}

func playClients(server, addr string, n int) {
	dialer := websocket.Dialer{ReadBufferSize: 512, WriteBufferSize: 512}
	if server == "transport" {
		dialer.Subprotocols = []string{Subprotocol}
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, 32)
	open := make([]*websocket.Conn, n) // else the collector closes the bare ones
	for i := range open {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			conn, _, err := dialer.Dial("ws://"+addr, nil)
			if err != nil {
				panic(err)
			}
			open[i] = conn
			if server == "bare" {
				mustTalk(conn, "hello", "hello")
				return
			}
			mustTalk(conn, `{"type":"connection_init","payload":{"authorization":"Bearer 0123456789abcdef"}}`, `{"type":"connection_ack"}`)
			mustTalk(conn, fmt.Sprintf(`{"id":"9b2d2f4e-6c5a-4a63-8f0e-3d1c2b1a0f9e","type":"subscribe","payload":{"query":"subscription Idle($topic: String!) { ticks(topic: $topic) { n text } }","variables":{"topic":%q},"operationName":"Idle"}}`, conn.LocalAddr()), "")
			mustTalk(conn, `{"type":"ping"}`, `{"type":"pong"}`)
			go func() {
				for {
					if _, _, err := conn.ReadMessage(); err != nil { // a ping
						return
					}
					if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"pong"}`)); err != nil {
						return
					}
				}
			}()
		})
	}
	wg.Wait()
	fmt.Println("ready")
	_, _ = io.ReadAll(os.Stdin)
	runtime.KeepAlive(open)
}

// mustTalk sends a message and waits for the answer, if it expects one, passing
// over pings.
func mustTalk(conn *websocket.Conn, say, hear string) {
	if err := conn.WriteMessage(websocket.TextMessage, []byte(say)); err != nil {
		panic(err)
	}
	for heard := ""; heard != hear; {
		_, data, err := conn.ReadMessage()
		if err != nil {
			panic(err)
		}
		heard = string(data)
	}
}
