#!/usr/bin/env bash
# Finds a Docker engine that answers, and where there is none brings one up, as root on Debian or Ubuntu.
#
# Running it again, or twice at once, changes nothing. The engine that it starts belongs to the machine: it outlives this
# script, holds none of the caller's files open, and logs to /var/log/dockerd.log (to the journal where systemd runs).
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin

hack=$(cd "$(dirname "$0")" && pwd)
host=${DOCKER_HOST:-unix:///var/run/docker.sock}
log=/var/log/dockerd.log
patience=60

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

answers() {
  if command -v curl >/dev/null; then
    [[ $(curl -s --max-time 5 --unix-socket "${host#unix://}" http://engine/_ping) == OK ]]
  else
    timeout 5 docker --host "$host" version >/dev/null 2>&1
  fi
}

found() {
  command -v docker >/dev/null ||
    fail "An engine answers at $host, but there is no docker command. Install Docker's command-line client, then try again."
  echo "Docker engine $(docker --host "$host" version --format '{{.Server.Version}}') answers at $host"
}

# refuse says why no engine is brought up here, where that is so.
refuse() {
  if [[ -n ${DOCKER_HOST:-} ]]; then
    fail "DOCKER_HOST is $DOCKER_HOST, and no engine answers there. Start that engine, or unset DOCKER_HOST."
  fi
  if ((EUID != 0)); then
    fail "No Docker engine answers at $host." \
      "Where one is running, this user may not use it; run this and log in again:" \
      "  sudo usermod -aG docker $(id -un)" \
      "Where none is, run this:" \
      "  sudo $hack/engine.sh"
  fi
  if ! command -v apt-get >/dev/null; then
    fail "No Docker engine answers at $host, and this is neither Debian nor Ubuntu: install and start Docker" \
      "(https://docs.docker.com/engine/install/), then try again."
  fi
}

install_engine() {
  local packages=()
  command -v dockerd >/dev/null || packages+=(docker.io ca-certificates)
  command -v iptables >/dev/null || packages+=(iptables)
  ((${#packages[@]})) && "$hack/apt.sh" "${packages[@]}"
  # Newer releases ship the client apart from the engine.
  command -v docker >/dev/null || "$hack/apt.sh" docker-cli
}

mount_cgroups() {
  grep -q ' cgroup2\? ' /proc/mounts && return
  "$hack/apt.sh" cgroupfs-mount
  cgroupfs-mount
}

# is_running FILE NAME tells whether the process whose pid is in FILE is one called NAME. A zombie has a name, but no
# program any more.
is_running() {
  local pid
  pid=$(cat "$1" 2>/dev/null) && [[ $(readlink "/proc/$pid/exe") == */"$2"* ]]
}

# An engine that was killed leaves pid files; a new one takes any process that now has that pid for its predecessor.
drop_stale_pids() {
  is_running /var/run/docker.pid dockerd || rm -f /var/run/docker.pid
  is_running /var/run/docker/containerd/containerd.pid containerd || rm -f /var/run/docker/containerd/containerd.pid
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

start() {
  if [[ -d /run/systemd/system ]]; then
    systemctl start docker
    return
  fi
  is_running /var/run/docker.pid dockerd && return
  drop_stale_pids
  mount_cgroups
  detach dockerd
}

show_log() {
  if [[ -d /run/systemd/system ]]; then
    journalctl --no-pager -n 20 -u docker >&2
  else
    tail -n 20 "$log" >&2
  fi
}

await() {
  local deadline=$((SECONDS + patience))
  until answers; do
    if ((SECONDS >= deadline)); then
      show_log
      fail "The Docker engine did not answer at $host within $patience seconds. Above is the end of its log."
    fi
    sleep 0.2
  done
}

[[ $host == unix://* ]] ||
  fail "DOCKER_HOST is $host: flow-manager works with an engine on a local Unix socket (unix:///path) only."
if answers; then
  found
  exit
fi
refuse
exec 9>/run/lock/flow-manager-engine.lock
flock 9
if ! answers; then
  echo "No Docker engine answers at $host: setting one up."
  install_engine 9>&-
  start 9>&-
  await
fi
found
