// Package pgtest gives tests a real Postgres.
//
// The server is the one that HANDOFF_TEST_POSTGRES_URL names, or one that this
// package starts, once per test binary, from the binaries of the machine: found
// on PATH or where Debian puts them. Every call of [URL] or [Template] makes a
// database of its own on it, so that tests can run in parallel.
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
//	func TestSomething(t *testing.T) {
//		t.Parallel()
//		url := pgtest.Template(t, "migrated", migrate)
//		…
//	}
//
// Without a server and without binaries the test is skipped; where CI or
// HANDOFF_TEST_REQUIRE_POSTGRES is set it fails, so that a build cannot pass
// with half of its tests left out.
//
// A started server cannot outlive the test binary, not even one that is killed:
// see the comment at guard. It listens on a Unix socket only, in a directory
// that other users cannot enter, and trusts whoever can.
package pgtest
