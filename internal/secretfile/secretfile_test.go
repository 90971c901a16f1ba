package secretfile

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// racerVariable makes this test binary a process that waits for a byte and then
// calls LoadOrCreate with the variable's path.
const racerVariable = "HANDOFF_TEST_SECRETFILE_RACER"

func TestMain(m *testing.M) {
	if path := os.Getenv(racerVariable); path != "" {
		os.Exit(race(path))
	}
	os.Exit(m.Run())
}

func race(path string) int {
	if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
		return 1
	}
	secret, created, err := LoadOrCreate(path, func() string { return fmt.Sprint("secret-of-", os.Getpid()) })
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(secret, created)
	return 0
}

func generate(text string) func() string { return func() string { return text } }

func never(t *testing.T) func() string {
	return func() string {
		t.Error("a second secret was generated")
		return ""
	}
}

func TestCreatesOnceAndLoadsAfterwards(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "admin-token")

	secret, created, err := LoadOrCreate(path, generate("s3cret"))
	require.NoError(t, err)
	require.True(t, created)
	require.Equal(t, "s3cret", secret)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())

	secret, created, err = LoadOrCreate(path, never(t))
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, "s3cret", secret)

	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary file is left")
}

func TestRefusesWhatIsNotAPrivateFile(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		make func(path string) error
		want string
	}{
		"readable by the group": {file("x", 0o640), "chmod 600"},
		"readable by others":    {file("x", 0o604), "mode 0604"},
		"writable by others":    {file("x", 0o602), "chmod 600"},
		"empty":                 {file("", 0o600), "is empty"},
		"only white space":      {file(" \n\t", 0o600), "is empty"},
		"too large":             {file(strings.Repeat("x", maxSize+1), 0o600), "larger than"},
		"a directory":           {func(path string) error { return os.Mkdir(path, 0o700) }, "not a regular file"},
		"a link to nothing":     {func(path string) error { return os.Symlink("nowhere", path) }, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "secret")
			require.NoError(t, tt.make(path))
			secret, created, err := LoadOrCreate(path, generate("new"))
			require.ErrorContains(t, err, tt.want)
			require.ErrorContains(t, err, path)
			require.NotContains(t, err.Error(), "xxx")
			require.Empty(t, secret)
			require.False(t, created)
		})
	}
}

func file(content string, mode fs.FileMode) func(string) error {
	return func(path string) error {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
		return os.Chmod(path, mode) // WriteFile's mode goes through the umask
	}
}

func TestTrimsWhatAnEditorAdds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte("  by hand \r\n"), 0o600))
	secret, _, err := LoadOrCreate(path, never(t))
	require.NoError(t, err)
	require.Equal(t, "by hand", secret)
}

func TestAcceptsTheLargestSecret(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	want := strings.Repeat("x", maxSize)
	require.NoError(t, os.WriteFile(path, []byte(want), 0o600))
	secret, _, err := LoadOrCreate(path, never(t))
	require.NoError(t, err)
	require.Equal(t, want, secret)
}

func TestMissingDirectoryIsAnError(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "missing", "secret")
	_, created, err := LoadOrCreate(path, generate("new"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, path)
	require.False(t, created)
}

func TestGoroutinesAgree(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	var wg sync.WaitGroup
	var creators atomic.Int32
	secrets := make([]string, 32)
	start := make(chan struct{})
	for i := range secrets {
		wg.Go(func() {
			<-start
			secret, created, err := LoadOrCreate(path, func() string { return fmt.Sprint("secret ", i) })
			if err != nil {
				secret = err.Error()
			}
			if created {
				creators.Add(1)
			}
			secrets[i] = secret
		})
	}
	close(start)
	wg.Wait()
	require.Equal(t, int32(1), creators.Load())
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, secret := range secrets {
		require.Equal(t, strings.TrimSpace(string(content)), secret)
	}
}

func TestProcessesAgree(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	type racer struct {
		start  io.WriteCloser
		output *bufio.Reader
	}
	var racers []racer
	for range 8 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), racerVariable+"="+path)
		start, err := child.StdinPipe()
		require.NoError(t, err)
		output, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		t.Cleanup(func() { require.NoError(t, child.Wait()) })
		racers = append(racers, racer{start, bufio.NewReader(output)})
	}
	for _, r := range racers {
		_, err := r.start.Write([]byte{'!'})
		require.NoError(t, err)
	}
	content := func() string {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		return strings.TrimSpace(string(text))
	}
	creators := 0
	for _, r := range racers {
		line, err := r.output.ReadString('\n')
		require.NoError(t, err)
		secret, created, _ := strings.Cut(strings.TrimSpace(line), " ")
		require.Equal(t, content(), secret)
		if created == "true" {
			creators++
		}
	}
	require.Equal(t, 1, creators)
}
