"""A flow that repeats what it is sent, and raises an event where it is told to."""

import signal

from flow import Flow

flow = Flow()


@flow.on()
def echo(message):
    return {"type": "echo", "message": message}


@flow.on("actor")
def actor(message):
    flow.event(message["actor"], message["event"], message.get("data"))


@flow.on_lifecycle
def lifecycle(event, grace_seconds):
    flow.emit({"type": "told", "event": event, "grace_seconds": grace_seconds})


signal.signal(signal.SIGTERM, lambda *_: flow.stop())
flow.ready()
flow.run()
