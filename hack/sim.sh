#!/usr/bin/env bash
# Plays SEEDS seeds of the simulator and prints seeds per second, the actions with their causes that the planner decided
# upon, how much of each file of the planner and of the loop was reached, and where the planner was not. FROM is the first seed.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=$(mktemp)
trap 'rm -f "$profile"' EXIT

SIM_SEEDS=${SEEDS:-2000} SIM_FROM=${FROM:-1} go test -tags sim -run '^TestSimulator$' -count=1 -timeout 0 -v \
  -coverpkg ./controller,./controller/plan -coverprofile "$profile" ./controller | grep -v '^=== '
awk -F '[: ]' '
  NR > 1 { file = $1; sub(/.*\/controller\//, "", file); all[file] += $3; if ($4 > 0) hit[file] += $3 }
  NR > 1 && $4 == 0 && file ~ /^plan\// { missed[file] = missed[file] " " $2 }
  END {
    for (file in all) printf "%-22s %5.1f %% of %d statements\n", file, 100 * hit[file] / all[file], all[file] | "sort"
    close("sort")
    for (file in missed) print file ", not reached:" missed[file]
  }' "$profile"
