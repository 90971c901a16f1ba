#!/usr/bin/env bash
# go vet, and golangci-lint at a pinned version, built once into the user's cache.
set -euo pipefail
cd "$(dirname "$0")/.."
version=v2.15.0
bin="${XDG_CACHE_HOME:-$HOME/.cache}/handoff-ci/golangci-lint-$version"
if [ ! -x "$bin/golangci-lint" ]; then
  GOBIN="$bin" GOFLAGS=-buildvcs=false go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$version"
fi
go vet ./...
"$bin/golangci-lint" run ./...
