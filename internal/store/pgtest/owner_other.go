//go:build !unix

package pgtest

import (
	"errors"
	"os"
	"syscall"
)

type owner struct{ uid, gid int }

// unprivileged refuses: the guard needs a Unix shell.
func unprivileged() (*owner, error) {
	return nil, errors.New("starting Postgres needs a Unix system; set " + urlVariable)
}

func childAttributes(*owner) *syscall.SysProcAttr { return nil }

func killGroup(p *os.Process) error { return p.Kill() }
