#!/usr/bin/env bash
# Uses the real server as its callers do, with the reference clients of its protocols,
# the example webhook desk and the simulators of the desks, on SQLite and on Postgres (that of
# HANDOFF_TEST_POSTGRES_URL, or a throw-away one). Prints a line per check and the
# count. A check that failed or was skipped is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
broken=

# part runs one program. The next ones run even if it fails.
part() {
  printf -- '--- %s\n' "$1"
  "${@:2}" 2>&1 | tee -a "$log" || broken+=" $1;"
}

count() { grep -c "^$1 " "$log" || true; }

(cd e2e && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
part "the example webhook desk" node --test --test-reporter=./e2e/reporter.mjs examples/webhook-desk/desk.test.mjs
part "the transports alone" node e2e/transport.mjs
part "the server" node e2e/handoff.mjs sqlite postgres
part "desks against their simulators" node e2e/desks.mjs sqlite postgres

passed=$(count ok) failed=$(count failed) skipped=$(count skipped)
printf -- '--- %s checks passed, %s failed, %s skipped\n' "$passed" "$failed" "$skipped"
[ -z "$broken" ] || printf -- '--- ended with an error:%s\n' "$broken"
[ -z "$broken" ] && [ "$passed" -gt 0 ] && [ "$failed" -eq 0 ] && [ "$skipped" -eq 0 ]
