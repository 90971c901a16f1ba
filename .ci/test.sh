#!/usr/bin/env bash
# The README's test command with the race detector. A skipped test is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
go test -race -shuffle=on -timeout=20m -json ./... >"$log" || {
  jq -r 'select(.Action=="output") | .Output' "$log" | grep -v '^=== ' | tail -n 300
  exit 1
}
skipped=$(jq -r 'select(.Action=="skip" and .Test) | .Package + " " + .Test' "$log")
if [ -n "$skipped" ]; then
  printf 'FAIL: skipped:\n%s\n' "$skipped" >&2
  exit 1
fi
jq -r 'select(.Action=="pass" and (.Test|not)) | "ok  \t\(.Package)\t\(.Elapsed)s"' "$log"
printf '%s tests passed, none skipped\n' "$(jq -r 'select(.Action=="pass" and .Test) | .Test' "$log" | wc -l)"
