#!/usr/bin/env bash
# Plants each fault of test/mutants into a copy of the sources and expects the simulator to find it within SEEDS seeds; the
# sources as they are have to pass. Prints a table and fails where a mutant lives or no longer applies.
set -uo pipefail
cd "$(dirname "$0")/.."

seeds=${SEEDS:-1000}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

row() { printf '%-24s %-10s %s\n' "$@"; }

plant() { # plant NAME: a copy of what the simulator is built from, under $work/tree
  rm -rf "$work/tree"
  mkdir "$work/tree"
  cp -r go.mod go.sum api store controller "$work/tree/"
  [[ $1 == none ]] || git -C "$work/tree" apply <"test/mutants/$1.patch" >"$work/log" 2>&1
}

play() { # play: the simulator on that copy; the output is in $work/log
  (cd "$work/tree" && SIM_SEEDS=$seeds SIM_SHRINK=0 go test -tags sim -run '^TestSimulator$' -count=1 -timeout 0 ./controller) >"$work/log" 2>&1
}

judge() { # judge NAME
  plant "$1" || { row "$1" 'STALE' "$(head -n 1 "$work/log")"; return 1; }
  (cd "$work/tree" && go test -tags sim -c -o /dev/null ./controller) >"$work/log" 2>&1 || { row "$1" 'NO BUILD' "$(sed -n 2p "$work/log")"; return 1; }
  if play; then
    [[ $1 == none ]] && { row 'none' 'passes' "$seeds seeds"; return 0; }
    row "$1" 'LIVES' "$seeds seeds"
    return 1
  fi
  local found
  found=$(grep -m 1 -oE 'seed [0-9]+: .*|panic: .*' "$work/log" | cut -c 1-110)
  [[ $1 != none ]] || { row 'none' 'FAILS' "$found"; return 1; }
  row "$1" 'found' "$found"
}

row mutant verdict 'first seen'
for patch in none test/mutants/*.patch; do
  judge "$(basename "$patch" .patch)" || failed=1
done
exit $failed
