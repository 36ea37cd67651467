#!/usr/bin/env bash
# Runs every fuzz target for FUZZTIME (2s), two at once. What one finds it leaves below its package's testdata.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export work FUZZTIME=${FUZZTIME:-2s}

fuzz() { # fuzz DIR TARGET
  local log=$work/$2.$RANDOM
  if (cd "$1" && "$work/$(basename "$1").test" -test.run '^$' -test.fuzz "^$2\$" -test.fuzztime "$FUZZTIME" -test.fuzzcachedir "$work/cache" -test.parallel 1) >"$log" 2>&1; then
    echo "ok  ${1#"$PWD"/} $2"
  else
    echo "FAIL ${1#"$PWD"/} $2"
    cat "$log"
    return 1
  fi
}
export -f fuzz

go list -f '{{.Dir}}' ./api/... ./store/... ./controller/... ./sockets/... ./cmd/... | while read -r dir; do
  targets=$( (grep -ohE '^func Fuzz\w+' "$dir"/*_test.go 2>/dev/null || true) | cut -c 6- | sort)
  [[ $targets ]] || continue
  go test -c -fuzz=. -o "$work/$(basename "$dir").test" "$dir"
  for target in $targets; do printf '%s %s\n' "$dir" "$target"; done
done | xargs -P 2 -L 1 bash -c 'fuzz "$0" "$1"'
