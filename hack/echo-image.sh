#!/usr/bin/env bash
# Builds the echo flow and puts it into the local engine as an image FROM scratch, without a registry.
#
#   hack/echo-image.sh [IMAGE]     default flow-manager/echo:latest
set -euo pipefail
cd "$(dirname "$0")/.."

image=${1:-flow-manager/echo:latest}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

CGO_ENABLED=0 go build -trimpath -o "$dir/echo" ./test/flows/echo
tar --create --directory "$dir" --owner 0 --group 0 echo |
  docker import --change 'ENTRYPOINT ["/echo"]' - "$image" >/dev/null
echo "the engine has $image"
