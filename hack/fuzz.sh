#!/usr/bin/env bash
# Runs every fuzz target for FUZZTIME (2s), one after the other. What one finds it leaves below its package's testdata.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT

go list -f '{{.Dir}}' ./api/... ./store/... ./controller/... ./sockets/... ./cmd/... | while read -r dir; do
  (grep -ohE '^func Fuzz\w+' "$dir"/*_test.go 2>/dev/null || true) | cut -c 6- | sort | while read -r target; do
    echo "== ${dir#"$PWD"/} $target"
    go test "$dir" -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-2s}" </dev/null >"$log" 2>&1 || { cat "$log"; exit 1; }
  done
done
