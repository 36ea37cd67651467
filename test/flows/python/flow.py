"""The flow's side of its socket, with the standard library only: copy this file into your code.

    from flow import Flow

    flow = Flow()                                   # the socket that the manager names in FLOW_SOCKET

    @flow.on("add")
    def add(message):
        return {"type": "sum", "sum": message["a"] + message["b"]}   # the reply

    flow.ready()
    flow.run()

The connection is made again whenever it is lost, a little later each time. Handlers are called one at a time, in the order of
the messages, in a thread of their own; the lifecycle callback is called beside them and at once.
"""

import json
import os
import queue
import random
import socket
import struct
import sys
import threading
import traceback

MAX_FRAME = 1 << 20  # bytes of JSON that the manager takes
WRITE_TIMEOUT = 10  # seconds, for the manager to take them
FIRST_PAUSE, LAST_PAUSE = 0.05, 2  # seconds before the next try to connect
MAX_QUEUED = 64  # messages that were read and wait for their handler; then reading waits
MANAGERS_OWN = ("status", "error", "pong")


class Flow:
    def __init__(self, path=None):
        self.path = path or os.environ.get("FLOW_SOCKET")
        if not self.path:
            raise ValueError("there is no socket to connect to: the manager names it in FLOW_SOCKET where it runs a flow")
        self._handlers = {}
        self._lifecycle = lambda event, grace_seconds: None
        self._queue = queue.Queue(MAX_QUEUED)
        self._changed = threading.Condition()  # guards what follows
        self._connection = None
        self._ready = False
        self._leaving = None  # the SystemExit that a handler has raised
        self._ended = threading.Event()
        self._writing = threading.Lock()

    def on(self, kind=""):
        """Has the decorated function called for messages of a type; "" is for those that have no handler of their own. Where it
        returns something, that is sent as the reply; where it raises an exception, or there is none for a type, a reply of type "error"
        says so. "status" is for the container's status, "error" for what the manager did
        not understand."""

        def register(handler):
            self._handlers[kind] = handler
            return handler

        return register

    def on_lifecycle(self, callback):
        """Has callback(event, grace_seconds) called before the manager stops the flow: stopping, restarting or updating."""
        self._lifecycle = callback
        return callback

    def emit(self, message, timeout=None):
        """Sends an object to whoever watches the flow. It waits for a connection, at most timeout seconds, then raises
        TimeoutError; it returns when the message was written whole."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._connection or self._ended.is_set(), timeout):
                raise TimeoutError("the manager is away")
            connection = self._connection
        if connection is None:
            raise ConnectionError("the flow has ended")
        self._send(connection, message)

    def event(self, actor, event, data=None):
        """Tells that an actor did something; the manager keeps that in its log of activity."""
        self.emit({"type": "actor_event", "actor": actor, "event": event, "data": data})

    def heartbeat(self):
        """Says that the flow lives, for a container that is taken for unhealthy where it is silent."""
        self.emit({"type": "heartbeat"})

    def reply(self, message, answer):
        """Sends answer as the reply to message, now or later."""
        self.emit({**answer, "reply_to": message.get("id")})

    def ready(self):
        """Says, to this manager and those that follow it, that the flow does its work."""
        with self._changed:
            self._ready, connection = True, self._connection
        if connection:
            try:
                self._send(connection, {"type": "ready"})
            except OSError:
                pass  # the next connection begins with it

    def stop(self):
        """Ends run, from any thread."""
        self._ended.set()
        with self._changed:
            connection = self._connection
            self._changed.notify_all()
        if connection:
            self._shut(connection)

    def run(self):
        """Serves until stop is called, and returns when the handler that is at work has. sys.exit in a handler ends it, too."""
        worker = threading.Thread(target=self._work, daemon=True)
        worker.start()
        pause = FIRST_PAUSE
        while not self._ended.is_set():
            pause = FIRST_PAUSE if self._serve() else min(2 * pause, LAST_PAUSE)
            self._ended.wait(pause * random.uniform(0.5, 1))
        self._queue.put(None)
        worker.join()
        if self._leaving:
            raise self._leaving

    def _serve(self):
        """Reads one connection to its end and tells whether there was anything to read."""
        served = False
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                # Reading has no time limit, and a timeout of Python's would be for both ways. This one is for connecting, too.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", WRITE_TIMEOUT, 0))
                connection.connect(self.path)
                self._send(connection, {"type": "hello"})
                if self._set(connection):
                    self._send(connection, {"type": "ready"})
                with connection.makefile("rb") as stream:
                    while not self._ended.is_set() and (body := self._read(stream)) is not None:
                        served = True
                        self._take(body)
            except (OSError, ValueError) as problem:
                if served:
                    print("the manager is gone:", problem, file=sys.stderr)
            finally:
                self._set(None)
        return served

    def _set(self, connection):
        with self._changed:
            self._connection = connection
            self._changed.notify_all()
            return self._ready

    def _take(self, body):
        """Has a message handled. One that Python cannot read, as a number of 5,000 digits, and what the callback raises harm no
        other."""
        try:
            message = json.loads(body)
            if message.get("type") == "lifecycle":
                self._lifecycle(message["event"], message["grace_seconds"])
                return
        except Exception:
            traceback.print_exc()
            return
        self._queue.put(message)

    def _work(self):
        while (message := self._queue.get()) is not None:
            try:
                self._handle(message)
            except SystemExit as leaving:  # would end this thread alone
                self._leaving = leaving
                self.stop()
            except Exception:
                traceback.print_exc()
                self._fail(message, "handler_error", "the handler of this message failed; the flow's output says how")

    def _handle(self, message):
        kind = message.get("type")
        handler = self._handlers.get(kind if isinstance(kind, str) else "")
        if handler is None and kind not in MANAGERS_OWN:
            handler = self._handlers.get("")
            if handler is None:
                self._fail(message, "unknown_type", f"the flow has no handler for messages of type {json.dumps(kind)[:64]}")
        answer = handler(message) if handler else None
        if answer is not None:
            self.reply(message, answer)

    def _fail(self, message, error_type, text):
        """Answers a client's message by an error, so that nobody waits for a reply in vain."""
        if message.get("type") in MANAGERS_OWN or message.get("id") is None:
            return
        try:
            self.reply(message, {"type": "error", "error_type": error_type, "message": text})
        except OSError:
            traceback.print_exc()

    def _send(self, connection, message):
        body = json.dumps(message, allow_nan=False).encode()
        if not isinstance(message, dict) or len(body) > MAX_FRAME:
            raise ValueError(f"a message is an object of at most {MAX_FRAME} bytes")
        with self._writing:
            try:
                connection.sendall(struct.pack(">I", len(body)) + body)
            except OSError:
                self._shut(connection)  # nothing after a frame that is cut off could be told apart
                raise

    @staticmethod
    def _shut(connection):
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended already

    @staticmethod
    def _read(stream):
        """The body of the next frame; None at the end."""
        head = stream.read(4)
        if len(head) < 4:
            return None
        (length,) = struct.unpack(">I", head)
        if length > MAX_FRAME:
            raise ValueError(f"a frame of {length} bytes")
        body = stream.read(length)
        return body if len(body) == length else None
