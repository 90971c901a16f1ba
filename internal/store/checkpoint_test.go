package store

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// What is in the write-ahead log reaches the database file long before a commit has
// to wait for it.
func TestCheckpointsAreMadeBesideTheWriter(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	s, err := Open(t.Context(), Options{SQLitePath: path})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	size := func() int64 {
		file, err := os.Stat(path)
		require.NoError(t, err)
		return file.Size()
	}
	const enough = 2 * walWanted // and far below walLimit
	require.NoError(t, s.write(context.Background(), func(tx *gorm.DB) error {
		if _, err := exec(tx, `CREATE TABLE ballast (text TEXT) STRICT`); err != nil {
			return err
		}
		_, err := exec(tx, `INSERT INTO ballast VALUES ($1)`, strings.Repeat("x", enough))
		return err
	}))
	require.Eventually(t, func() bool { return size() > enough }, 30*time.Second, 10*time.Millisecond)
}
