#!/usr/bin/env bash
# Brings up a second Docker engine to test on, beside the machine's own one and apart from it, as root:
#   hack/second-engine.sh [start]          makes the engine where it is missing, starts it, and prints its DOCKER_HOST
#   hack/second-engine.sh run COMMAND...   starts it, and runs COMMAND on it: with its DOCKER_HOST and dockerd, in its network
#   hack/second-engine.sh stop             ends it and all of its containers; what was made and its images stay
# SECOND_ENGINE says which: debian13 (the default), Debian 13's own, in two minutes; or newest, built from Go's modules.
#
# Running start or stop again, or twice at once, changes nothing. Each engine has a network of its own, so published ports
# answer to what `run` starts only, and mounts of its own, which end with it; folders bear the same names in it as here.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin

hack=$(cd "$(dirname "$0")" && pwd)
which=${SECOND_ENGINE:-debian13}
moby=v2.0.0-beta.24
runc=v1.3.6 # Debian 12's 1.1.5 is too old for this engine, and Debian 13's is for a newer libc.
home=${SECOND_ENGINE_DIR:-/var/lib/flow-manager-second-engine}/$which
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
  pid=$(cat "$pidfile" 2>/dev/null) && grep -qzxF -- "$pidfile" "/proc/$pid/cmdline" 2>/dev/null && echo "$pid"
}

answers() {
  timeout 5 docker --host "unix://$socket" version >/dev/null 2>&1
}

# make_debian13 makes a root of Debian 13 with its engine, and a dockerd that has that root's /usr in the place of the machine's,
# with mounts of its own.
make_debian13() {
  [[ -x $home/bin/dockerd ]] && return
  echo "Installing Debian 13's Docker engine under $home: two minutes, the first time." >&2
  "$hack/apt.sh" debootstrap iproute2 procps >&2
  rm -rf "$home/partial"
  if ! debootstrap --variant=minbase --include=docker.io,iptables trixie "$home/partial" >"$home/debootstrap.log" 2>&1; then
    tail -n 20 "$home/debootstrap.log" >&2
    fail "Debian 13 could not be installed. Above is the end of $home/debootstrap.log."
  fi
  mkdir -p "$home/bin"
  rm -rf "$home/root"
  mv "$home/partial" "$home/root"
  cat >"$home/dockerd" <<EOF
#!/bin/sh
exec unshare --mount sh -c 'mount --bind $home/root/usr /usr && exec /usr/sbin/dockerd "\$@"' dockerd "\$@"
EOF
  chmod +x "$home/dockerd"
  mv "$home/dockerd" "$home/bin/dockerd"
}

# make_newest builds an engine, which takes containerd and docker-init from the machine's own one (hack/engine.sh).
make_newest() {
  [[ -x $home/bin/runc ]] && [[ $(cat "$home/versions" 2>/dev/null) == "$moby $runc" ]] && return
  echo "Building Docker's engine $moby and runc $runc: minutes, the first time." >&2
  mkdir -p "$home/bin"
  local tags=exclude_graphdriver_btrfs,no_btrfs version=github.com/moby/moby/v2/dockerversion.Version
  export CGO_ENABLED=1 GOBIN=$home/bin
  "$hack/apt.sh" gcc libc6-dev pkg-config libseccomp-dev iproute2 procps >&2
  nice go install -tags "$tags" -ldflags "-X $version=${moby#v}" \
    github.com/moby/moby/v2/cmd/dockerd@$moby github.com/moby/moby/v2/cmd/docker-proxy@$moby >&2
  nice go install -tags seccomp github.com/opencontainers/runc@$runc >&2
  echo "$moby $runc" >"$home/versions"
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
  mkdir -p /run/containerd
  # Where a containerd of the machine's answers, dockerd would take that one.
  PATH=$home/bin:$PATH detach unshare --net --mount sh -c \
    'ip link set lo up && mount -t tmpfs tmpfs /run/containerd && exec dockerd "$@"' sh \
    --config-file "$home/daemon.json" --data-root "$home/data" --exec-root "$home/run" \
    --pidfile "$pidfile" --host "unix://$socket" --group root
}

start() {
  answers && return
  { command -v containerd && command -v docker; } >/dev/null || fail "There is no Docker yet: run $hack/engine.sh, then try again."
  "make_$which" 9>&-
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

[[ $which == debian13 || $which == newest ]] || fail "SECOND_ENGINE is $which: debian13 and newest are known."
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
  PATH=$home/bin:$PATH DOCKER_HOST=unix://$socket exec nsenter --target "$(engine)" --net -- "${@:2}"
  ;;
stop) stop ;;
*) fail "usage: $0 [start | run COMMAND... | stop]" ;;
esac
