package store

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// errInUse is what the second process on one SQLite file gets.
var errInUse = errors.New("another process uses this database")

// errSharingViolation is ERROR_SHARING_VIOLATION of Windows.
const errSharingViolation = syscall.Errno(32)

// lockFile opens a file that nobody else may open meanwhile.
func lockFile(path string) (unlock func() error, err error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	handle, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, errSharingViolation) {
		return nil, errInUse
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return os.NewFile(uintptr(handle), path).Close, nil
}
