#!/usr/bin/env bash
# Runs the tests whose outcome depends on the engine on a second, newer one (hack/second-engine.sh), which is ended afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."

on() {
  hack/second-engine.sh run "$@"
}
trap 'hack/second-engine.sh stop' EXIT

hack/engine.sh # its command-line client is used as well
on docker version --format 'the second engine is Docker {{.Server.Version}}'
on hack/echo-image.sh
on hack/flows-image.sh
on go test -vet=off -count=1 -timeout 20m -skip 'JavaScript|Python' \
  -run 'Life|Health|Exit|Crash|Drift|Update_|Images|Probe|Outage|Fault|Engine' ./test
