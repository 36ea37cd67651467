"""Plays one container's whole life against a running flow-manager, as a client that knows the events and no acknowledgement:

    life.py URL IMAGE [NAME]

Each step emits a request, waits for the events that answer it, checks them, and prints one line of JSON. The first step
that does not hold is printed with what came instead, and ends the program with status 1.
"""

import json
import os
import re
import sys
import threading

import socketio

PATIENCE = 20  # seconds

# These end a step at once: none of them is expected before the last step is done.
FATAL = {"error", "connect_error", "disconnect"}


class Unmet(Exception):
    """A step that does not hold: what it expected, and what came instead."""

    def __init__(self, expected, came):
        super().__init__(expected, came)
        self.expected, self.came = expected, came


class Arrivals:
    """The events so far. The client calls record from a thread of its own for each event."""

    def __init__(self):
        self.changed = threading.Condition()
        self.events = []

    def __len__(self):
        with self.changed:
            return len(self.events)

    def record(self, event, data=None):
        with self.changed:
            self.events.append({"event": event, "data": data})
            self.changed.notify_all()

    def arrival(self, event, wanted, since):
        """Returns the data of the first event from `since` on that has this name and fits."""
        found = []

        def settled():
            came = self.events[since:]
            found[:] = [a for a in came if a["event"] == event and holds(a["data"], wanted)]
            return found or any(a["event"] in FATAL for a in came)

        with self.changed:
            self.changed.wait_for(settled, PATIENCE)
            if not found:
                raise Unmet({event: wanted}, self.events[since:])
        return found[0]["data"]


def holds(got, wanted):
    """Tells whether got has everything that wanted has. Of a list each wanted item must be somewhere in it; a pattern may
    fit anywhere."""
    if isinstance(wanted, re.Pattern):
        return wanted.search(compact(got)) is not None
    if isinstance(wanted, list):
        return isinstance(got, list) and all(any(holds(g, w) for g in got) for w in wanted)
    if isinstance(wanted, dict):
        return isinstance(got, dict) and all(k in got and holds(got[k], w) for k, w in wanted.items())
    return got == wanted


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=lambda pattern: f"/{pattern.pattern}/")


def connect(client, url, arrived):
    client.on("*", arrived.record)
    client.on("connect_error", lambda *why: arrived.record("connect_error", *why))
    client.on("disconnect", lambda *why: arrived.record("disconnect", *why))
    try:
        client.connect(url, wait_timeout=PATIENCE)
    except socketio.exceptions.ConnectionError as err:
        arrived.record("connect_error", str(err))
    # A client whose upgrade is refused goes on polling and says nothing.
    arrived.record("transport", client.transport())


class Life:
    def __init__(self, client, arrived):
        self.client, self.arrived = client, arrived

    def step(self, name, request, expected):
        """Emits one request and returns the data of the first of its expected events once all are there."""
        try:
            answers = self.exchange(name, request, expected)
        except Unmet as unmet:
            print(compact({"step": name, "ok": False, "expected": unmet.expected, "came": unmet.came}), flush=True)
            raise
        print(compact({"step": name, "ok": True, "answer": answers[0]}), flush=True)
        return answers[0]

    def exchange(self, name, request, expected):
        since = 0
        if request is not None:
            since = len(self.arrived)
            self.emit(name, request, expected)
        return [self.arrived.arrival(event, wanted, since) for event, wanted in expected.items()]

    def emit(self, name, request, expected):
        try:
            self.client.emit(name, request)
        except socketio.exceptions.BadNamespaceError:  # the connection ended between two steps
            raise Unmet(expected, self.arrived.events)

    def play(self, image, name):
        step = self.step
        step("connect", None, {"connected": {}, "transport": "websocket"})
        created = step(
            "create_container",
            {"name": name, "image": image, "environment": {"GREETING": "hello"}},
            {"container_created": {"name": name, "image": image, "status": "created"}},
        )
        it = {"container_id": created["container_id"]}
        text = f"from {name}"

        step("start_container", it, {"container_started": {**it, "status": "running"}})
        step("get_container_status", it, {"container_status": {**it, "state": "running"}})
        step("send_message", {**it, "message": {"type": "greeting", "text": text}}, {
            "message_sent": {**it, "status": "sent"},
            "message_received": {**it, "message": re.compile(f'"text":"{re.escape(text)}"')},
        })
        step("list_containers", {}, {"container_list": {"containers": [{**it, "name": name, "status": "running"}]}})
        step("restart_container", it, {"container_restarted": {**it, "status": "running"}})
        step("pause_container", it, {"container_paused": {**it, "status": "paused"}})
        step("unpause_container", it, {"container_unpaused": {**it, "status": "running"}})
        step("stop_container", it, {"container_stopped": {**it, "status": "stopped"}})
        step("delete_container", it, {"container_deleted": {**it, "status": "deleted"}})


def main(url="", image="", name=f"life-{os.getpid()}", *rest):
    if not url or not image or rest:
        print("usage: life.py URL IMAGE [NAME]", file=sys.stderr)
        return 2
    client, arrived = socketio.Client(reconnection=False), Arrivals()
    try:
        connect(client, url, arrived)
        Life(client, arrived).play(image, name)
    except Unmet:
        return 1
    finally:
        client.disconnect()
    return 0


sys.exit(main(*sys.argv[1:]))
