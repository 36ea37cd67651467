"""Logs in to a running flow-manager and prints what comes of it, one line of JSON for each:

    login.py URL TOKEN

It lists the containers, tries to stop one that there is not, and ends when the session does, or when there is none.
"""

import json
import sys
import threading

import socketio

PATIENCE = 20  # seconds

client = socketio.Client(reconnection=False)


def say(event, it=None):
    it = it if isinstance(it, dict) else {}
    line = json.dumps({"event": event, **it, **(it.get("details") or {})})
    sys.stdout.write(line + "\n")  # at once: each packet has a thread, and print would let another's in before the end of the line
    sys.stdout.flush()


def listed(answer):
    say("list_containers", {"ok": answer["ok"]})
    client.emit("stop_container", {"container_id": "nobody"})


@client.event
def connected(hello):
    say("connected", hello)
    client.emit("list_containers", {}, callback=listed)


@client.event
def error(it):
    say("error", it)


@client.event
def connect_error(why):
    say("connect_error", why["data"])


url, token = sys.argv[1:]
try:
    client.connect(url, auth={"token": token} if token else {}, wait_timeout=PATIENCE)
    client.wait()
    for thread in threading.enumerate():  # the client hears of its end before the threads of its last packets are through
        if thread is not threading.current_thread():
            thread.join(PATIENCE)
    say("disconnect")
except socketio.exceptions.ConnectionError:
    pass  # connect_error has said why
