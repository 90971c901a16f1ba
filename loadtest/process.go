package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server that this program started.
type process struct {
	url     string // http://127.0.0.1:port, as it printed itself
	command *exec.Cmd
	log     string // file with what it wrote to standard error
	printed []string
	ended   chan error
}

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 30 * time.Second
)

var addressPattern = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`)

// startProcess starts a server and waits until it has printed its address.
func startProcess(ctx context.Context, log string, environment []string, name string, args ...string) (*process, error) {
	errFile, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer errFile.Close()
	p := &process{command: exec.Command(name, args...), log: log, ended: make(chan error, 1)} //nolint:noctx // it is stopped with SIGTERM, not killed
	p.command.Env, p.command.Stderr = environment, errFile
	out, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	addresses := make(chan []string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if found := addressPattern.FindAllString(lines.Text(), -1); len(found) > 0 {
				select {
				case addresses <- found:
				default: // it prints its address several times
				}
			}
		}
		_, _ = io.Copy(io.Discard, out)
		p.ended <- p.command.Wait()
	}()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	select {
	case p.printed = <-addresses:
		p.url = p.printed[0]
		return p, nil
	case err := <-p.ended:
		p.ended <- err
		return nil, fmt.Errorf("%s ended at its start: %w\n%s", filepath.Base(name), err, p.logTail())
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("%s printed no address: %w", filepath.Base(name), ctx.Err()), p.stop())
	}
}

// stop ends the process gracefully. An exit code other than 0 is an error.
func (p *process) stop() error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case err := <-p.ended:
		p.ended <- err
		if err != nil {
			return fmt.Errorf("%s did not stop cleanly: %w\n%s", filepath.Base(p.command.Path), err, p.logTail())
		}
		return nil
	case <-timer.C:
		return errors.Join(fmt.Errorf("%s did not stop in %s", filepath.Base(p.command.Path), stopTimeout), p.command.Process.Kill())
	}
}

// logTail is the end of what the process wrote to standard error.
func (p *process) logTail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(len(lines)-10, 0):], "\n")
}

// rss is the resident memory of the process in bytes, from proc(5).
func (p *process) rss() (float64, error) {
	status, err := os.ReadFile(p.proc("status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kilobytes, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
			return kilobytes * 1024, err
		}
	}
	return 0, errors.New("proc(5) has no VmRSS")
}

// ticksPerSecond is USER_HZ, which Linux has fixed for programs outside the kernel.
const ticksPerSecond = 100

// cpu is the processor time that the process has used, from proc(5).
func (p *process) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(p.proc("stat"))
	if err != nil {
		return 0, err
	}
	// The second field is the name in parentheses and may hold anything.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("proc(5) has too short a stat")
	}
	ticks := 0
	for _, field := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

func (p *process) proc(file string) string {
	return filepath.Join("/proc", strconv.Itoa(p.command.Process.Pid), file)
}
