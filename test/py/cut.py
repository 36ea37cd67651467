"""Declares containers through connections that are cut again and again, as a client that repeats what it got no answer to:

    cut.py URL TRANSPORTS PREFIX COUNT

Each request has an idempotency key, which its repetitions share. It prints one line of JSON: the answers by key, all of
them, and how many tries failed. A try that neither is answered nor fails ends the program with status 1.
"""

import json
import os
import sys
import threading

import socketio

PATIENCE = 60  # seconds, for everything
ANSWER_WITHIN = 1.5


def give_up(tally):
    print("not all was answered", json.dumps(tally), file=sys.stderr, flush=True)
    os._exit(1)


class Cut:
    def __init__(self, url, transports):
        self.url, self.transports = url, transports
        self.tally = {"answers": {}, "failed": 0, "disconnects": 0}
        self.client = None

    def connect(self):
        """Makes a client that is connected. One whose connection ended while it was made believes that it has one, so
        none is used again after a try that failed."""
        while self.client is None or not self.client.connected:
            self.client = socketio.Client(reconnection=False)
            self.client.on("disconnect", self.disconnected)
            try:
                self.client.connect(self.url, transports=self.transports, wait_timeout=2)
            except (socketio.exceptions.ConnectionError, ValueError):
                self.tally["failed"] += 1

    def disconnected(self, *_):
        self.tally["disconnects"] += 1

    def ask(self, event, body):
        """Returns the acknowledgement, or None when the try failed."""
        self.connect()
        try:
            return self.client.call(event, body, timeout=ANSWER_WITHIN)
        except (socketio.exceptions.SocketIOError, socketio.exceptions.TimeoutError):
            self.tally["failed"] += 1
            self.client.disconnect()
            self.client = None
            return None

    def declare(self, prefix, key):
        body = {
            "image": "flow-manager/absent:latest",
            "labels": {"run": prefix},
            "image_pull_policy": "never",
            "idempotency_key": key,
        }
        answer = None
        while answer is None:
            answer = self.ask("create_container", body)
        self.tally["answers"].setdefault(key, []).append(answer.get("container_id", json.dumps(answer)))

    def play(self, prefix, count):
        for i in range(count):
            key = f"{prefix}-{i:016}"
            self.declare(prefix, key)
            if i % 4 == 0:
                self.declare(prefix, key)  # one more after the answer has come


def main(url="", transports="", prefix="", count="", *rest):
    if not count or rest:
        print("usage: cut.py URL TRANSPORTS PREFIX COUNT", file=sys.stderr)
        return 2
    cut = Cut(url, transports.split(","))
    late = threading.Timer(PATIENCE, give_up, [cut.tally])
    late.start()
    cut.play(prefix, int(count))
    late.cancel()
    print(json.dumps(cut.tally), flush=True)
    cut.client.disconnect()
    return 0


sys.exit(main(*sys.argv[1:]))
