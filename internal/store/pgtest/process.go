package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	superuser    = "handoff"
	startTimeout = time.Minute
	stopTimeout  = 10 * time.Second
	pollInterval = 10 * time.Millisecond
)

// guard is the shell program that runs the server. Its standard input is a pipe
// whose other end only the test binary holds; the kernel closes it however the
// test binary ends, and then the guard ends the server and removes its
// directory. (The parent-death signal of Linux is tied to the thread that
// started the child, and Go's threads come and go.)
//
// Standard output stays open as long as the server runs, and then carries the
// end of its log.
//
// SIGQUIT is Postgres's immediate shutdown: nobody needs the data any more. A
// shell starts background commands with SIGQUIT ignored, so SIGTERM goes first,
// for a server that has not installed its handlers yet.
const guard = `
dir=$1
shift
exec 3<&0 </dev/null
"$@" >"$dir/log" 2>&1 3<&- &
server=$!
{ read -r _ <&3; kill -TERM "$server"; kill -QUIT "$server"; } >/dev/null 2>&1 &
watcher=$!
wait "$server"
kill "$watcher"
tail -n 20 "$dir/log"
rm -rf "$dir"
`

// process is a server that this process started.
type process struct {
	dir     string // data, log and socket
	command *exec.Cmd
	life    *os.File // write end: the guard ends when it is closed
	output  *os.File // read end: ends when the guard ends
	log     bytes.Buffer
}

func startProcess(opts Options) (*process, error) {
	binaries, err := findBinaries(debianBinaries)
	if err != nil {
		return nil, err
	}
	owner, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := makeDir(opts, owner)
	if err != nil {
		return nil, err
	}
	p := &process{dir: dir}
	if err := p.start(binaries, opts, owner); err != nil {
		return nil, errors.Join(err, p.stop(stopTimeout))
	}
	return p, nil
}

// makeDir makes a private directory. Its path is short, because the path of a
// socket has at most 103 bytes on some systems.
func makeDir(opts Options, owner *owner) (string, error) {
	parent := "/tmp"
	if opts.Durable {
		parent = "/var/tmp"
	}
	dir, err := os.MkdirTemp(parent, "handoff-pg-")
	if err != nil {
		return "", err
	}
	if owner != nil {
		if err := os.Chown(dir, owner.uid, owner.gid); err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
	}
	return dir, nil
}

func (p *process) start(binaries string, opts Options, owner *owner) error {
	data := filepath.Join(p.dir, "data")
	initdb := p.newCommand(owner, filepath.Join(binaries, "initdb"), "--pgdata", data,
		"--username", superuser, "--auth", "trust", "--encoding", "UTF8", "--locale", "C",
		"--no-sync", "--no-instructions")
	if output, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, output)
	}

	arguments := []string{"-c", guard, "guard", p.dir,
		filepath.Join(binaries, "postgres"), "-D", data, "-k", p.dir,
		"-c", "listen_addresses=", "-c", "max_connections=200", "-c", "timezone=UTC"}
	if !opts.Durable {
		arguments = append(arguments, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	if err := p.launch(p.newCommand(owner, "/bin/sh", arguments...)); err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	return p.awaitReady()
}

// newCommand prepares a child in a process group of its own, so that Ctrl-C
// reaches the test binary only and the guard does its work.
func (p *process) newCommand(owner *owner, name string, arguments ...string) *exec.Cmd {
	command := exec.Command(name, arguments...)
	command.Dir = p.dir
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "LC_ALL=C"}
	command.SysProcAttr = childAttributes(owner)
	return command
}

// launch starts the guard with its two pipes.
func (p *process) launch(command *exec.Cmd) error {
	lifeRead, lifeWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	defer lifeRead.Close()
	outputRead, outputWrite, err := os.Pipe()
	if err != nil {
		return errors.Join(err, lifeWrite.Close())
	}
	defer outputWrite.Close()
	command.Stdin, command.Stdout = lifeRead, outputWrite
	if err := command.Start(); err != nil {
		return errors.Join(err, lifeWrite.Close(), outputRead.Close())
	}
	p.command, p.life, p.output = command, lifeWrite, outputRead
	return nil
}

// awaitReady tries to connect until it works, the server has ended, or the time is up.
func (p *process) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	address := p.url()
	for {
		conn, err := pgx.Connect(ctx, address.String())
		if err == nil {
			return conn.Close(ctx)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("postgres does not answer: %w", err)
		}
		if p.ended(pollInterval) {
			return fmt.Errorf("postgres did not start:\n%s", &p.log)
		}
	}
}

// ended waits a moment for the guard's end, and collects what it says meanwhile.
func (p *process) ended(wait time.Duration) bool {
	if err := p.output.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return true
	}
	_, err := p.log.ReadFrom(p.output)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// stop ends the server and waits until it is gone with its directory. A server
// that does not end in time is killed, which is an error.
func (p *process) stop(timeout time.Duration) error {
	if p.command == nil {
		return os.RemoveAll(p.dir)
	}
	err := p.life.Close()
	if !p.ended(timeout) {
		err = errors.Join(err, errors.New("the server did not end in time"), killGroup(p.command.Process))
	}
	err = errors.Join(err, p.command.Wait(), p.output.Close())
	return errors.Join(err, os.RemoveAll(p.dir)) // a killed guard leaves it
}

// url is the address of the database that every new server has.
func (p *process) url() url.URL {
	return url.URL{
		Scheme:   "postgres",
		User:     url.User(superuser),
		Path:     "/postgres",
		RawQuery: url.Values{"host": {p.dir}, "sslmode": {"disable"}}.Encode(),
	}
}
