#!/usr/bin/env bash
# Runs what the README tells a newcomer to run, on SQLite and on Postgres.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
cleanup() {
  [ -z "${server:-}" ] || kill "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

# The commands run in a copy of the tree, so that ./data and the binary stay out of it.
git -C "$root" archive HEAD | tar -x -C "$work"
cd "$work"

echo "--- go run ."
HANDOFF_ADDR=127.0.0.1:0 go run . >welcome.txt 2>server.log &
server=$!
for _ in $(seq 1500); do grep -q 'Administrator' welcome.txt && break; sleep 0.2; done
cat welcome.txt
url=$(grep -o 'http://[^ ]*/graphql' welcome.txt | head -1)
curl -sf "${url%/graphql}/readyz"
curl -sfL -H 'Accept: text/html' "$url" -o page.html
grep -qi graphiql page.html
curl -sf "${url%/graphql}/metrics" -o metrics.txt
grep -q handoff_build_info metrics.txt
test "$(stat -c %a data/admin.token)" = 600
pkill -TERM -P "$server"
wait "$server" || { cat server.log; exit 1; }
server=
rm -rf data

echo "--- go run . demo"
go run . demo

echo "--- by hand"
sed -n '/<!-- by-hand -->/,/<!-- \/by-hand -->/p' README.md | sed '/^<!--/d;/^```/d' >by-hand.sh
bash -e -u -o pipefail by-hand.sh >by-hand.txt
cat by-hand.txt
grep -q '"reason":"OPERATOR_ENDED"' by-hand.txt
grep -q 'It arrives today' by-hand.txt
grep -q '"marker"' by-hand.txt
