#!/usr/bin/env bash
# Shows that flows do not notice the death of their manager: declares two, talks to one, kills the manager, starts it again,
# compares. Each step that does not hold ends the demo, says what was expected and what was seen, and stops what was started.
#
#   hack/demo.sh          the whole story
#   KEEP=1 hack/demo.sh   the same, but leaves the manager and the flows running
#   hack/demo.sh stop     ends what an earlier demo left running
set -euo pipefail
cd "$(dirname "$0")/.."

port=8000
flows=(demo-one demo-two)
log=.flow/manager.log
pidfile=.flow/manager.pid
now="prepare the demo" # the step that failures are reported for
manager=               # pid of the manager, while one runs
declared=              # set once containers with our flows' names can only be ours
export FLOWCTL_SERVER=http://127.0.0.1:$port

step() {
  now=$1
  printf '\n== %s\n' "$now"
}

fail() { # fail EXPECTED SEEN
  printf '\nThe demo failed at: %s\n  expected: %s\n  seen:     %s\n' "$now" "$1" "$2" >&2
  if [[ -s $log ]]; then
    printf '\nThe end of %s:\n' "$log" >&2
    tail -n 20 "$log" >&2
  fi
  exit 1
}

# must runs a command and prints its output; EXPECTED says what it was to do.
must() { # must EXPECTED COMMAND...
  local expected=$1 seen status=0
  shift
  seen=$("$@" 2>&1) || status=$?
  ((status == 0)) || fail "$expected" "exit code $status of $*: $seen"
  printf '%s\n' "$seen"
}

flowctl() {
  timeout 120 bin/flowctl "$@" 9>&-
}

is_manager() { # is_manager PID
  [[ -n $1 && $(readlink "/proc/$1/exe") == "$PWD"/bin/flow-manager* ]]
}

within() { # within SECONDS COMMAND...: whether the command succeeds in that time, tried again and again
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || return 1
    sleep 0.1
  done
}

port_is_taken() {
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null
}

# The manager leads a session of its own: a Ctrl-C is for the demo, which then stops it in good order.
start_manager() {
  port_is_taken && fail "port $port on 127.0.0.1 to be free" "something else listens there: stop it, then try again"
  setsid bin/flow-manager serve --listen "127.0.0.1:$port" --data-dir "$PWD/.flow/data" --run-dir "$PWD/.flow/run" \
    </dev/null >>"$log" 2>&1 9>&- &
  manager=$!
  echo "$manager" >"$pidfile"
  within 30 answers_or_ended || fail "the manager to answer within 30 seconds" "no answer at $FLOWCTL_SERVER"
  is_manager "$manager" || fail "the manager to run" "it ended at once"
  echo "the manager runs, pid $manager, log $log"
}

answers_or_ended() {
  flowctl get || ! kill -0 "$manager"
}

has_ended() {
  ! is_manager "$manager"
}

# stop_manager ends the manager with SIGTERM; its exit code is known where it is our child.
stop_manager() {
  local status=0 pid=$manager
  kill -TERM "$pid"
  within 30 has_ended || fail "the manager to end within 30 seconds of SIGTERM" "pid $pid still runs"
  wait "$pid" 2>/dev/null || status=$?
  manager=
  rm -f "$pidfile"
  # 127: started by an earlier run, so not ours to wait for.
  ((status == 0 || status == 127)) || fail "exit code 0 after SIGTERM" "exit code $status"
  echo "the manager has stopped"
}

container() { # container FLOW: the Docker ids of its containers
  docker ps --all --quiet --no-trunc --filter "label=io.flow-manager.name=$1"
}

facts() {
  local flow
  for flow in "${flows[@]}"; do
    docker inspect --format "$flow  id {{slice .Id 0 12}}  pid {{.State.Pid}}  started {{.State.StartedAt}}  restarts {{.RestartCount}}" \
      "$(container "$flow")"
  done
}

declare_flow() { # declare_flow NAME
  must "$1 to be declared, and to run" flowctl apply -f - --wait <<YAML
name: $1
image: flow-manager/echo:latest
environment:
  GREETING: hello from $1
YAML
}

ask() { # ask FLOW MESSAGE
  local reply
  echo "to $1: $2"
  reply=$(must "a reply from $1" flowctl send "$1" "$2" --reply)
  [[ $reply == *hello-there* ]] || fail "a reply that repeats the message" "$reply"
  echo "from $1: $reply"
}

delete_flows() {
  must "the flows to be deleted" flowctl delete "${flows[@]}" --wait
  local flow left
  for flow in "${flows[@]}"; do
    left=$(container "$flow")
    [[ -z $left ]] || fail "no container of $flow to be left" "$left"
  done
}

# An interrupted demo leaves a manager running, or flows in .flow that the next manager brings back.
adopt_manager() {
  local pid
  pid=$(cat "$pidfile" 2>/dev/null) || return 0
  if is_manager "$pid"; then manager=$pid; fi
}

delete_leftovers() {
  local flow left
  for flow in "${flows[@]}"; do
    if flowctl get "$flow" >/dev/null 2>&1; then
      echo "an earlier demo has left $flow: deleting it"
      must "$flow to be deleted" flowctl delete "$flow" --wait
    fi
    left=$(docker ps --all --format '{{.ID}} {{.Names}}' --filter "name=^/?$flow\$")
    [[ -z $left ]] || fail "no container named $flow" "$left, which this manager did not make; remove it with: docker rm -f $flow"
  done
}

# abandon ends what is left when a step did not hold, the manager's help or not.
abandon() {
  local status=$? flow ids
  ((status != 0)) || return 0
  trap - EXIT INT TERM
  set +e
  echo "stopping what was started" >&2
  if is_manager "$manager"; then
    [[ -z $declared ]] || flowctl delete "${flows[@]}" --wait >/dev/null 2>&1
    kill -TERM "$manager"
    within 15 has_ended || kill -KILL "$manager"
  fi
  if [[ -n $declared ]]; then
    for flow in "${flows[@]}"; do
      ids=$(container "$flow")
      [[ -z $ids ]] || docker rm --force --volumes $ids >/dev/null
    done
  fi
  rm -f "$pidfile"
  exit "$status"
}

lock() {
  mkdir -p .flow
  exec 9>.flow/demo.lock
  flock --nonblock 9 || fail "to be the only demo" "another one is under way in this folder"
}

stop() {
  [[ -d .flow ]] || return 0
  lock
  adopt_manager
  if [[ -z $manager ]]; then
    command -v docker >/dev/null && [[ -n $(container "${flows[0]}")$(container "${flows[1]}") ]] || return 0
    start_manager
  fi
  for flow in "${flows[@]}"; do
    if flowctl get "$flow" >/dev/null 2>&1; then
      must "$flow to be deleted" flowctl delete "$flow" --wait
    fi
  done
  stop_manager
}

story() {
  lock
  adopt_manager
  step "Find or bring up a Docker engine, build the programs and the image of an echoing flow"
  hack/engine.sh
  make --no-print-directory build
  hack/echo-image.sh

  step "Start the manager"
  if [[ -n $manager ]]; then
    echo "an earlier demo has left a manager running, pid $manager: stopping it"
    stop_manager
  fi
  : >"$log"
  trap abandon EXIT
  trap 'exit 130' INT TERM
  start_manager
  delete_leftovers

  step "Declare two flows"
  local flow
  declared=1
  for flow in "${flows[@]}"; do declare_flow "$flow"; done
  must "a list of the flows" flowctl get

  step "Send a message to a flow"
  ask "${flows[0]}" '{"type":"hello-there","n":1}'

  step "Kill the manager (SIGKILL)"
  local before after
  before=$(must "both flows to have a container" facts)
  echo "$before"
  kill -KILL "$manager"
  wait "$manager" 2>/dev/null || true
  echo "the manager is dead; the flows:"
  after=$(facts 2>&1) || true
  [[ $after == "$before" ]] || fail "the flows to live on: $before" "$after"
  echo "$after"

  step "Start the manager again: it touches nothing"
  start_manager
  after=$(facts 2>&1) || true
  [[ $after == "$before" ]] || fail "the same containers, untouched: $before" "$after"
  echo "$after"
  for flow in "${flows[@]}"; do ask "$flow" '{"type":"hello-there","n":2}'; done
  after=$(facts 2>&1) || true
  [[ $after == "$before" ]] || fail "the same containers, untouched: $before" "$after"

  if [[ ${KEEP:-} == 1 ]]; then
    step "All is left running"
    echo "go on:   bin/flowctl get     bin/flowctl send ${flows[0]} '{\"type\":\"hello-there\"}' --reply"
    echo "stop it: hack/demo.sh stop"
    return
  fi

  step "Delete the flows, stop the manager (SIGTERM)"
  delete_flows
  stop_manager
  printf '\nThe demo held.\n'
}

case ${1:-} in
"") story ;;
stop) stop ;;
*)
  echo "usage: hack/demo.sh [stop]" >&2
  exit 2
  ;;
esac
