#!/usr/bin/env bash
# Measures the manager beside its yardsticks, prints one table and writes BENCHMARKS.md. What it needs and this machine lacks is
# installed first, docker-compose too where that can be had: it is a peer to compare with, and is left out otherwise.
#
#   ROWS=declare,fanout   only these rows, and BENCHMARKS.md stays as it is
#   QUICK=1               few repetitions, to see that all rows work; nothing is judged, and BENCHMARKS.md stays as it is
set -euo pipefail
cd "$(dirname "$0")/.."

arguments=()
[[ -z ${ROWS:-} ]] || arguments+=(-rows "$ROWS")
[[ -z ${QUICK:-} ]] || arguments+=(-quick)
((${#arguments[@]})) || arguments+=(-out BENCHMARKS.md)

hack/engine.sh
hack/echo-image.sh
hack/apt.sh docker-compose || echo "docker-compose cannot be installed: the table goes without it" >&2
make --no-print-directory build
CGO_ENABLED=0 go build -trimpath -o bin/bench ./test/bench
exec bin/bench "${arguments[@]}"
