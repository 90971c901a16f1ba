package relay

import (
	"testing"

	"handoff/internal/store/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
