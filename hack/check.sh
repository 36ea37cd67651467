#!/usr/bin/env bash
# Checks what needs no engine: format, vet, staticcheck, go.mod, layering. Runs all of them, then says which did not hold.
set -uo pipefail
cd "$(dirname "$0")/.."

unformatted() {
  local files
  files=$(find . -name '*.go' -not -path './.*' -not -path '*/node_modules/*' -exec gofmt -l {} +) || return
  [[ -z $files ]] || { printf 'gofmt would change:\n%s\n' "$files" && return 1; }
}

# What no longer fits the sources would be no mutant.
stale() {
  local patch found=0
  for patch in test/mutants/*.patch; do
    git apply --check "$patch" || { echo "$patch does not apply: see hack/mutants.sh" && found=1; }
  done
  return $found
}

failed=()
check() {
  echo "== $*"
  "$@" || failed+=("$*")
}

check unformatted
check go vet ./...
check go vet -tags failpoint,sim ./...
check go tool staticcheck ./...
check go tool staticcheck -tags sim ./controller
check go mod tidy -diff
check stale
check go test -run Layering -count=1 ./test/

((${#failed[@]})) || exit 0
printf 'make check: did not hold: %s\n' "${failed[@]}" >&2
exit 1
