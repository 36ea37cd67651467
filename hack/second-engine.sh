#!/usr/bin/env bash
# Brings up a second, newer Docker engine to test on, beside the machine's own one and apart from it, as root:
#   hack/second-engine.sh [start]          builds the engine where it is missing, starts it, and prints its DOCKER_HOST
#   hack/second-engine.sh run COMMAND...   starts it, and runs COMMAND on it: with its DOCKER_HOST and programs, in its network
#   hack/second-engine.sh stop             ends it and all of its containers; what it built and its images stay
#
# Running start or stop again, or twice at once, changes nothing. The engine has a network of its own, so published ports
# answer to what `run` starts only, and mounts of its own, which end with it; folders bear the same names in it as here.
# It takes containerd and docker-init from the machine's engine (hack/engine.sh), and everything else from Go's modules.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin

hack=$(cd "$(dirname "$0")" && pwd)
moby=v2.0.0-beta.24
runc=v1.3.6 # Debian 12's 1.1.5 is too old for this engine, and Debian 13's is for a newer libc.
home=${SECOND_ENGINE_DIR:-/var/lib/flow-manager-second-engine}
bin=$home/bin-$moby-runc-$runc
log=$home/log
pidfile=$home/run/docker.pid
socket=$home/run/docker.sock
patience=60

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

# engine prints the engine's pid, where it is running.
engine() {
  local pid
  pid=$(cat "$pidfile" 2>/dev/null) && [[ $(readlink "/proc/$pid/exe") == "$home"/bin-*/dockerd ]] && echo "$pid"
}

answers() {
  timeout 5 docker --host "unix://$socket" version >/dev/null 2>&1
}

build() {
  [[ -x $bin/runc ]] && return
  echo "Building Docker's engine $moby and runc $runc: minutes, the first time." >&2
  mkdir -p "$bin"
  local tags=exclude_graphdriver_btrfs,no_btrfs version=github.com/moby/moby/v2/dockerversion.Version
  export CGO_ENABLED=1 GOBIN=$bin
  "$hack/apt.sh" gcc libc6-dev pkg-config libseccomp-dev iproute2 procps >&2
  nice go install -tags "$tags" -ldflags "-X $version=${moby#v}" \
    github.com/moby/moby/v2/cmd/dockerd@$moby github.com/moby/moby/v2/cmd/docker-proxy@$moby >&2
  nice go install -tags seccomp github.com/opencontainers/runc@$runc >&2
}

# detach runs a command that outlives us and keeps nothing of ours open: no terminal, no pipe of the caller, no lock.
detach() (
  cd /
  exec </dev/null >>"$log" 2>&1
  for fd in /proc/"$BASHPID"/fd/*; do
    fd=${fd##*/}
    ((fd <= 2)) || eval "exec $fd>&-"
  done
  exec setsid --fork "$@"
)

launch() {
  # What a killed engine left would be taken for this one's.
  sweep
  rm -rf "$home/run"
  mkdir -p "$home/run" "$home/data"
  echo '{}' >"$home/daemon.json" # and not the machine's own
  PATH=$bin:$PATH detach unshare --net --mount sh -c 'ip link set lo up && exec "$@"' sh "$bin/dockerd" \
    --config-file "$home/daemon.json" --data-root "$home/data" --exec-root "$home/run" --pidfile "$pidfile" \
    --host "unix://$socket" --group root
}

start() {
  answers && return
  { command -v containerd && command -v docker; } >/dev/null || fail "There is no Docker yet: run $hack/engine.sh, then try again."
  build 9>&-
  engine >/dev/null || launch
  local deadline=$((SECONDS + patience))
  until answers; do
    if ((SECONDS >= deadline)); then
      tail -n 20 "$log" >&2
      fail "The second engine did not answer at unix://$socket within $patience seconds. Above is the end of its log."
    fi
    sleep 0.2
  done
}

# sweep ends what an engine that was killed left behind: its containers, and with them their keepers.
sweep() {
  local pid
  for pid in $(pgrep -f -- "/containerd-shim-runc-v2 .*-address $home/run/"); do
    # shellcheck disable=SC2046 # a list of pids
    kill -KILL $(pgrep -P "$pid") "$pid" 2>/dev/null || true
  done
}

stop() {
  local pid deadline=$((SECONDS + patience))
  if pid=$(engine); then
    kill "$pid"
    while engine >/dev/null; do
      ((SECONDS < deadline)) || kill -KILL "$pid"
      sleep 0.1
    done
  fi
  sweep
}

((EUID == 0)) || fail "The second engine is started by root only."
mkdir -p "$home"
exec 9>"$home/lock"
flock 9
case ${1:-start} in
start)
  start >&2
  echo "unix://$socket"
  ;;
run)
  start >&2
  exec 9>&-
  PATH=$bin:$PATH DOCKER_HOST=unix://$socket exec nsenter --target "$(engine)" --net -- "${@:2}"
  ;;
stop) stop ;;
*) fail "usage: $0 [start | run COMMAND... | stop]" ;;
esac
