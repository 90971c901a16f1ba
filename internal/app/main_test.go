package app_test

import (
	"os"
	"testing"

	"handoff/internal/app/apptest"
	"handoff/internal/store/pgtest"
)

func TestMain(m *testing.M) {
	code := pgtest.Run(m)
	apptest.RemoveBinary()
	os.Exit(code)
}
