package apptest

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Process is the real binary, running.
type Process struct {
	*Service
	Output *Log // what it printed: the welcome, and its log

	t        testing.TB
	environ  map[string]string
	cmd      *exec.Cmd
	exited   chan struct{}
	exitCode int // when exited is closed
}

// welcome is how the process tells its address.
var welcome = regexp.MustCompile(`(?m)^  GraphQL +(http://\S+)/graphql`)

// Launch runs the binary on a database, with more variables on top, and waits until
// it is ready. It is killed when the test ends.
func Launch(t testing.TB, d *Database, more map[string]string) *Process {
	t.Helper()
	environ := d.Environ()
	maps.Copy(environ, more)
	p := &Process{Service: newService(d.AdminToken), t: t, environ: environ}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("output of the process:\n%s", p.Output.tail())
		}
	})
	p.Launch()
	return p
}

// Launch runs the binary again, at the same address, and waits until it is ready.
func (p *Process) Launch() {
	p.t.Helper()
	p.Kill()
	p.run()
	var url string
	Eventually(p.t, "the process says where it is", func() bool {
		select {
		case <-p.exited:
			p.t.Fatalf("the process has ended with code %d:\n%s", p.exitCode, p.Output)
		default:
		}
		found := welcome.FindStringSubmatch(p.Output.String())
		if found != nil {
			url = found[1]
		}
		return found != nil
	})
	p.at(url)
	p.environ["HANDOFF_ADDR"] = strings.TrimPrefix(url, "http://")
	Eventually(p.t, "the process is ready", func() bool {
		status, _, err := p.TryGet("/readyz")
		return err == nil && status == 200
	})
}

func (p *Process) run() {
	p.t.Helper()
	p.Output = &Log{}
	p.exited = make(chan struct{})
	p.cmd = exec.Command(Binary(p.t))
	// Nothing of the test's own environment may decide how the service behaves.
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	for name, value := range p.environ {
		p.cmd.Env = append(p.cmd.Env, name+"="+value)
	}
	p.cmd.Dir = p.t.TempDir()
	p.cmd.Stdout, p.cmd.Stderr = p.Output, p.Output
	require.NoError(p.t, p.cmd.Start())
	cmd, exited := p.cmd, p.exited
	go func() {
		err := cmd.Wait()
		var exit *exec.ExitError
		if p.exitCode = 0; errors.As(err, &exit) {
			p.exitCode = exit.ExitCode()
		}
		close(exited)
	}()
}

// RunToEnd runs the binary with the variables until it ends by itself, and gives what
// it printed and its exit code.
func RunToEnd(t testing.TB, environ map[string]string) (output string, exitCode int) {
	t.Helper()
	p := &Process{t: t, environ: environ}
	t.Cleanup(p.Kill)
	p.run()
	exitCode = p.AwaitExit()
	return p.Output.String(), exitCode
}

// Kill ends the process as a power failure would: it learns nothing of it.
func (p *Process) Kill() {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.exited
	p.cmd = nil
	if p.Service != nil {
		p.http.CloseIdleConnections()
	}
}

// Terminate asks the process to stop, as an operator would.
func (p *Process) Terminate() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
}

// AwaitExit waits until the process has ended, and gives its exit code.
func (p *Process) AwaitExit() int {
	p.t.Helper()
	timeout := time.NewTimer(Patience)
	defer timeout.Stop()
	select {
	case <-p.exited:
	case <-timeout.C:
		p.t.Fatalf("the process does not end:\n%s", p.Output)
	}
	return p.exitCode
}

// Binary builds the real binary, once per test binary, and gives its path.
// [RemoveBinary] removes it.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := build()
	require.NoError(t, err)
	return path
}

var (
	binaryDirectory string
	build           = sync.OnceValues(func() (string, error) {
		var err error
		if binaryDirectory, err = os.MkdirTemp("", "handoff-binary-"); err != nil {
			return "", err
		}
		path := filepath.Join(binaryDirectory, "handoff")
		cmd := exec.Command("go", "build", "-o", path, "handoff")
		if output, err := cmd.CombinedOutput(); err != nil {
			return "", errors.New(string(output))
		}
		return path, nil
	})
)

// RemoveBinary removes what [Binary] has built, if anything. Call it from TestMain.
func RemoveBinary() {
	if binaryDirectory != "" {
		_ = os.RemoveAll(binaryDirectory)
	}
}
