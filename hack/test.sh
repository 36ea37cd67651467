#!/usr/bin/env bash
# Runs all tests: the packages' own under the race detector, then the black box ones on a real Docker engine.
# What they need and this machine lacks is installed first (an engine, a C compiler, strace, Node and the client in test/js,
# Python's client, nginx).
set -euo pipefail
cd "$(dirname "$0")/.."

packages=()
need() { # need COMMAND PACKAGE...
  command -v "$1" >/dev/null || packages+=("${@:2}")
}
need gcc gcc libc6-dev # the race detector is linked with it
need strace strace
need node nodejs
need npm npm ca-certificates
# Debian's modules are for Debian's Python, whichever comes first in PATH. Without websocket the client only polls.
/usr/bin/python3 -c 'import requests, socketio, websocket' 2>/dev/null ||
  packages+=(python3-socketio python3-requests python3-websocket)

need nginx nginx-light
fresh_nginx() { [[ " ${packages[*]} " == *" nginx-light "* ]]; }

# The package starts it; what the tests need is the program.
stop_nginx() {
  if [[ -d /run/systemd/system ]]; then systemctl disable --now nginx; else service nginx stop; fi
}

client() {
  local dir=test/js
  # npm writes the hidden lock last, so it is newer only where an installation went through.
  [[ $dir/node_modules/.package-lock.json -nt $dir/package-lock.json ]] || npm ci --prefix "$dir" --no-audit --no-fund
}

step() {
  echo "== $*"
  "$@"
}

step hack/engine.sh
step hack/apt.sh "${packages[@]}"
! fresh_nginx || step stop_nginx
step client
step make --no-print-directory build
step hack/echo-image.sh
step hack/flows-image.sh
# What vet finds is make check's to find, once.
step env CGO_ENABLED=1 go test -vet=off -race ./api/... ./store/... ./controller/... ./sockets/... ./cmd/...
# 800 lives of the loop in fake time, and some of them under the race detector; `make sim` plays more.
step env SIM_SEEDS=800 go test -vet=off -tags sim -run '^TestSimulator$' -count=1 ./controller
step env CGO_ENABLED=1 SIM_SEEDS=100 go test -vet=off -race -tags sim -run '^TestSimulator$' -count=1 ./controller
step hack/fuzz.sh
step go test -vet=off ./test/... -count=1
