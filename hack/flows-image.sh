#!/usr/bin/env bash
# Puts the flows in Go, Python and Node, and the hostile one, into the local engine as an image FROM scratch, with this machine's
# own interpreters and what those are linked with: no registry is asked.
#
#   hack/flows-image.sh [IMAGE]     default flow-manager/flows:latest
set -euo pipefail
cd "$(dirname "$0")/.."

image=${1:-flow-manager/flows:latest}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

python=/usr/bin/python3 # Debian's, whichever comes first in PATH
node=$(readlink -f "$(command -v node)")
library=$("$python" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')

libraries() { # libraries PROGRAM: the files that it is linked with
  ldd "$1" | grep -o '/[^ ]*\.so[^ ]*'
}

install -D "$(readlink -f "$python")" "$dir/usr/bin/python3"
install -D "$node" "$dir/usr/bin/node"
for file in $(libraries "$python") $(libraries "$node"); do
  cp --dereference --parents "$file" "$dir"
done
mkdir -p "$dir/flows" "$dir/tmp"
CGO_ENABLED=0 go build -trimpath -o "$dir/flows/" ./test/flows/echo ./test/flows/hostile
cp test/flows/python/*.py test/flows/node/*.mjs "$dir/flows"
# Of Python's library, nothing that a flow without a screen and a compiler would miss.
tar --create --directory / --dereference --hard-dereference --exclude='*/test' --exclude='*/config-*' --exclude='*/idlelib' --exclude='*/lib2to3' \
  --exclude='*/ensurepip' --exclude='*/tkinter' --exclude='*/dist-packages' --exclude='*/site-packages' "${library#/}" |
  tar --extract --directory "$dir"
tar --create --directory "$dir" --owner 0 --group 0 . | docker import - "$image" >/dev/null
echo "the engine has $image"
