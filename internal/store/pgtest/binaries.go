package pgtest

import (
	"cmp"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

// ErrNoBinaries says that there is no Postgres on this machine.
var ErrNoBinaries = errors.New("no initdb and postgres on PATH or in /usr/lib/postgresql/*/bin; " +
	"install Postgres (.ci/postgres.sh does) or set " + urlVariable)

// debianBinaries is where Debian installs what its wrappers on PATH hide.
const debianBinaries = "/usr/lib/postgresql/*/bin"

// findBinaries gives the directory of initdb and postgres: the one on PATH, or
// else the newest of Debian's.
func findBinaries(debian string) (string, error) {
	var candidates []string
	if initdb, err := exec.LookPath("initdb"); err == nil {
		// initdb looks for postgres beside its real place, not beside a link.
		if real, err := filepath.EvalSymlinks(initdb); err == nil {
			candidates = append(candidates, filepath.Dir(real))
		}
	}
	installed, err := filepath.Glob(debian)
	if err != nil {
		return "", err
	}
	slices.SortFunc(installed, func(a, b string) int { return cmp.Compare(majorVersion(b), majorVersion(a)) })
	for _, dir := range append(candidates, installed...) {
		if executable(dir, "initdb") && executable(dir, "postgres") {
			return dir, nil
		}
	}
	return "", ErrNoBinaries
}

// majorVersion reads 15 from /usr/lib/postgresql/15/bin, or 0.
func majorVersion(dir string) int {
	version, err := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
	if err != nil {
		return 0
	}
	return version
}

func executable(dir, name string) bool {
	_, err := exec.LookPath(filepath.Join(dir, name))
	return err == nil
}
