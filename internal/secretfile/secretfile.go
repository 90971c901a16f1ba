// Package secretfile keeps a generated secret in a file that only its owner can
// read, so that a first start needs no preparation and later starts find the
// same secret.
package secretfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// maxSize bounds what is read, in bytes; a secret is far smaller.
const maxSize = 64 << 10

// othersMode are the permission bits of group and others.
const othersMode fs.FileMode = 0o077

// LoadOrCreate returns the secret in the file at path, without the white space
// around it. If there is no such file it writes what generate returns, with
// mode 0600 and synced to the disk, and reports created. The directory must
// exist.
//
// Processes that start together agree: the file appears complete or not at all,
// the first one wins, and the others return the winner's secret.
//
// It refuses a file that group or others can access, one that is empty or
// larger than 64 KiB, and anything but a regular file. Its errors name the path
// and never the content.
func LoadOrCreate(path string, generate func() string) (secret string, created bool, err error) {
	secret, err = load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, false, err
	}
	switch err := create(path, generate()); {
	case err == nil:
		created = true
	case errors.Is(err, fs.ErrExist): // another process was faster
	default:
		return "", false, fmt.Errorf("make secret file %s: %w", path, err)
	}
	// What counts is what the file says, also for the process that wrote it.
	secret, err = load(path)
	return secret, created && err == nil, err
}

func load(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read secret file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("read secret file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("secret file %s is not a regular file", path)
	}
	// Windows has no such bits; there every file shows 0666.
	if mode := info.Mode().Perm(); mode&othersMode != 0 && runtime.GOOS != "windows" {
		return "", fmt.Errorf("secret file %s can be accessed by others (mode %04o); run: chmod 600 %s", path, mode, path)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return "", fmt.Errorf("read secret file: %w", err)
	}
	if len(content) > maxSize {
		return "", fmt.Errorf("secret file %s is larger than %d bytes", path, maxSize)
	}
	content = bytes.TrimSpace(content)
	if len(content) == 0 {
		return "", fmt.Errorf("secret file %s is empty; delete it to have a new secret made", path)
	}
	return string(content), nil
}

// create writes the secret under a temporary name and then links it to its own.
// A link, because unlike a rename it fails when the name is taken, and unlike
// opening the name with O_EXCL it never shows a half-written file.
func create(path, secret string) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // O_EXCL, mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if err := writeAndSync(tmp, secret+"\n"); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func writeAndSync(f *os.File, text string) error {
	_, err := io.WriteString(f, text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes the new name itself durable.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // a directory cannot be synced there
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
