//go:build unix

package store

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// errInUse is what the second process on one SQLite file gets.
var errInUse = errors.New("another process uses this database")

// lockFile takes a lock that ends with the process, however it ends. The file
// stays: removing it would let two processes lock two files of the same name.
func lockFile(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errInUse
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f.Close, nil
}
