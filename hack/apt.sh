#!/usr/bin/env bash
# Installs those of the named Debian packages that are missing: hack/apt.sh PACKAGE...
# Where it may not (another user than root, another system than Debian or Ubuntu) it prints what to run, and exits 1.
set -euo pipefail

missing=()
for package in "$@"; do
  state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || true
  [[ $state == installed ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

if ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]} (names of Debian packages). Install them the way this system does, then try again." >&2
  exit 1
fi
if ((EUID != 0)); then
  printf 'missing: %s. Run this, then try again:\n  sudo apt-get update && sudo apt-get install -y %s\n' "${missing[*]}" "${missing[*]}" >&2
  exit 1
fi

export DEBIAN_FRONTEND=noninteractive
install() {
  apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 "${missing[@]}" </dev/null
}

# apt locks its lists without waiting, so two of us at once would fail.
exec 8>/run/lock/flow-manager-apt.lock
flock 8

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "Installing with apt-get: ${missing[*]}"
# The first try fails where apt's lists are empty or old.
if install >"$log" 2>&1 8>&- || { apt-get update -qq && install; } >"$log" 2>&1 8>&-; then
  exit 0
fi
echo "apt-get could not install ${missing[*]}:" >&2
tail -n 20 "$log" >&2
exit 1
