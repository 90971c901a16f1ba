package pgtest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// orphanVariable makes this test binary a process that starts a server and waits to be killed.
const orphanVariable = "HANDOFF_TEST_PGTEST_ORPHAN"

func TestMain(m *testing.M) {
	if os.Getenv(orphanVariable) != "" {
		startAndWait()
	}
	Main(m)
}

func startAndWait() {
	s, err := Start(Options{})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println(s.process.dir)
	select {}
}

func TestServerDoesNotOutliveAKilledTestBinary(t *testing.T) {
	t.Parallel()
	needBinaries(t)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), orphanVariable+"=1")
	output, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	t.Cleanup(func() { _ = child.Process.Kill(); _ = child.Wait() })
	line, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	p := process{dir: strings.TrimSpace(line)}
	require.DirExists(t, p.dir)
	address := p.url()
	conn, err := pgx.Connect(t.Context(), address.String())
	require.NoError(t, err)
	defer conn.Close(context.Background())

	require.NoError(t, child.Process.Kill())

	_, err = conn.WaitForNotification(t.Context()) // until the server closes the connection
	require.Error(t, err)
	require.Eventually(t, func() bool {
		_, err := os.Stat(p.dir)
		return os.IsNotExist(err)
	}, stopTimeout, 10*time.Millisecond, "the guard removes the directory")
}
