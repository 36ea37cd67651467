#!/usr/bin/env bash
# Runs every fuzz target for FUZZTIME, two at once: 50000x (executions) where nothing is said, or a duration as 10m. Of a duration
# the end itself may count as a failure ("context deadline exceeded": https://go.dev/issue/75804, mended in Go 1.27). What one finds
# it leaves below its package's testdata.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export work FUZZTIME=${FUZZTIME:-50000x}

fuzz() { # fuzz DIR TARGET
  local log=$work/$2.$RANDOM
  if (cd "$1" && "$work/$(basename "$1").test" -test.run '^$' -test.fuzz "^$2\$" -test.fuzztime "$FUZZTIME" -test.fuzzcachedir "$work/cache" -test.parallel 1) >"$log" 2>&1; then
    echo "ok  $1 $2"
  else
    echo "FAIL $1 $2"
    cat "$log"
    return 1
  fi
}
export -f fuzz

targets() { # DIR TARGET of each
  grep -roE '^func Fuzz\w+' --include='*_test.go' ./api ./store ./controller ./sockets ./cmd | sed -E 's|^(.*)/[^/]*:func |\1 |' | sort
}

list=$(targets)
mapfile -t dirs < <(cut -d ' ' -f 1 <<<"$list" | uniq)
# What guides the fuzzer are the branches of our own code. -fuzz would have it follow those of every dependency and of the
# standard library as well: each is compiled once more for that, and a target runs a tenth as often.
go test -c -vet=off -gcflags=./...=-d=libfuzzer -o "$work/" "${dirs[@]}"
xargs -P 2 -L 1 bash -c 'fuzz "$0" "$1"' <<<"$list"
