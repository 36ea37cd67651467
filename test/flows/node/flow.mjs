// The flow's side of its socket, with Node's standard library only: copy this file into your code.
//
//   import { Flow } from "./flow.mjs";
//
//   const flow = new Flow(); // the socket that the manager names in FLOW_SOCKET
//   flow.on("add", (message) => ({ type: "sum", sum: message.a + message.b })); // the reply
//   flow.ready();
//   flow.run();
//
// The connection is made again whenever it is lost, a little later each time. Handlers may be asynchronous; they are called one
// at a time, in the order of the messages. The lifecycle callback is called beside them and at once.

import { EventEmitter, once } from "node:events";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const maxFrame = 1 << 20; // bytes of JSON that the manager takes
const [firstPause, lastPause] = [50, 2000]; // milliseconds before the next try to connect
const maxQueued = 64; // messages that were read and wait for their handler; then reading waits
const managersOwn = new Set(["status", "error", "pong"]);

export class Flow {
  static writeTimeout = 10_000; // milliseconds, for the manager to take any of what is sent

  #path;
  #handlers = new Map();
  #lifecycle = () => {};
  #socket = null; // while it is connected
  #changes = new EventEmitter().setMaxListeners(0); // tells who waits for a connection that there is one, or will be none
  #queue = [];
  #working = null; // what is done when the queue is empty
  #ready = false;
  #end = new AbortController();

  constructor(path = process.env.FLOW_SOCKET) {
    if (!path) throw new Error("there is no socket to connect to: the manager names it in FLOW_SOCKET where it runs a flow");
    this.#path = path;
  }

  // on has handler called for messages of a type; "" is for those that have no handler of their own. What it returns is sent as
  // the reply; where it throws, or there is none for a type, a reply of type "error" says so. "status" is for the container's status, "error" for what the manager did not understand.
  on(type, handler) {
    this.#handlers.set(type, handler);
  }

  // onLifecycle has callback(event, graceSeconds) called before the manager stops the flow: stopping, restarting or updating.
  onLifecycle(callback) {
    this.#lifecycle = callback;
  }

  // emit sends an object to whoever watches the flow. It waits for a connection, at most until signal (of an AbortController, say)
  // is aborted, and is done when the message was written whole.
  async emit(message, signal) {
    mustBeObject(message);
    while (!this.#socket) {
      if (this.#end.signal.aborted) throw new Error("the flow has ended");
      await once(this.#changes, "change", { signal });
    }
    await send(this.#socket, message);
  }

  // event tells that an actor did something; the manager keeps that in its log of activity.
  event(actor, event, data = null) {
    return this.emit({ type: "actor_event", actor, event, data });
  }

  // heartbeat says that the flow lives, for a container that is taken for unhealthy where it is silent.
  heartbeat() {
    return this.emit({ type: "heartbeat" });
  }

  // reply sends answer as the reply to message, now or later.
  async reply(message, answer) {
    mustBeObject(answer);
    await this.emit({ ...answer, reply_to: message.id ?? null });
  }

  // ready says, to this manager and those that follow it, that the flow does its work.
  ready() {
    this.#ready = true;
    if (this.#socket) send(this.#socket, { type: "ready" }).catch(() => {}); // the next connection begins with it
  }

  // stop ends run.
  stop() {
    this.#end.abort();
    this.#socket?.destroy();
    this.#changes.emit("change");
  }

  // run serves until stop is called, and is done when the handler that is at work is.
  async run() {
    const signal = this.#end.signal;
    for (let pause = firstPause; !signal.aborted; ) {
      pause = (await this.#serve()) ? firstPause : Math.min(2 * pause, lastPause);
      await sleep(pause * (0.5 + Math.random() / 2), null, { signal }).catch(() => {}); // aborted by stop
    }
    await this.#working;
  }

  // serve reads one connection to its end and tells whether there was anything to read.
  #serve() {
    return new Promise((resolve) => {
      let served = false;
      let rest = Buffer.alloc(0);
      const socket = net.connect(this.#path);
      socket.on("connect", () => this.#greet(socket));
      socket.setTimeout(Flow.writeTimeout, () => socket.writableLength > 0 && socket.destroy(new Error("the manager does not read")));
      socket.on("data", (chunk) => {
        served = true;
        try {
          rest = this.#read(socket, Buffer.concat([rest, chunk]));
        } catch (problem) {
          console.error("the manager says what is no message:", problem);
          socket.destroy();
        }
      });
      socket.on("error", () => {}); // close follows
      socket.on("close", () => {
        if (this.#socket === socket) this.#socket = null;
        resolve(served);
      });
    });
  }

  #greet(socket) {
    if (this.#end.signal.aborted) return socket.destroy();
    send(socket, { type: "hello" }).catch(() => {}); // a connection that fails is closed
    if (this.#ready) send(socket, { type: "ready" }).catch(() => {});
    this.#socket = socket;
    this.#changes.emit("change");
  }

  // read takes whole frames from the beginning of bytes and returns the rest.
  #read(socket, bytes) {
    while (bytes.length >= 4) {
      const length = bytes.readUInt32BE(0);
      if (length > maxFrame) throw new RangeError(`a frame of ${length} bytes`);
      if (bytes.length < 4 + length) break;
      this.#take(socket, JSON.parse(bytes.toString("utf8", 4, 4 + length)));
      bytes = bytes.subarray(4 + length);
    }
    return bytes;
  }

  #take(socket, message) {
    if (message.type === "lifecycle") {
      this.#tell(message);
      return;
    }
    this.#queue.push(message);
    if (this.#queue.length >= maxQueued) socket.pause();
    this.#working ??= this.#work();
  }

  // tell calls the callback at once. What that throws harms nothing else.
  async #tell(message) {
    try {
      await this.#lifecycle(message.event, message.grace_seconds);
    } catch (problem) {
      console.error(problem);
    }
  }

  async #work() {
    while (this.#queue.length > 0) {
      const message = this.#queue.shift();
      await this.#handle(message).catch((problem) => {
        console.error(problem);
        return this.#fail(message, "handler_error", "the handler of this message failed; the flow's output says how");
      });
      if (this.#queue.length < maxQueued) this.#socket?.resume();
    }
    this.#working = null;
  }

  async #handle(message) {
    const handler = this.#handlers.get(message.type) ?? (managersOwn.has(message.type) ? () => {} : this.#handlers.get(""));
    if (!handler) return this.#fail(message, "unknown_type", `the flow has no handler for messages of type ${String(JSON.stringify(message.type)).slice(0, 64)}`);
    const answer = await handler(message);
    if (answer != null) await this.reply(message, answer);
  }

  // fail answers a client's message by an error, so that nobody waits for a reply in vain.
  async #fail(message, error_type, text) {
    if (managersOwn.has(message.type) || message.id == null) return;
    await this.reply(message, { type: "error", error_type, message: text }).catch((problem) => console.error(problem));
  }
}

function mustBeObject(message) {
  if (typeof message !== "object" || message === null || Array.isArray(message)) throw new TypeError("a message is an object");
}

// send is done when the frame was written whole. Of one that was under way when its socket was destroyed, Node says no error.
function send(socket, message) {
  const body = Buffer.from(JSON.stringify(message));
  if (body.length > maxFrame) return Promise.reject(new RangeError(`a message has at most ${maxFrame} bytes`));
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  return new Promise((resolve, reject) =>
    socket.write(Buffer.concat([head, body]), (problem) => (problem || socket.destroyed ? reject(problem ?? new Error("the connection has ended")) : resolve())),
  );
}
