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

import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const maxFrame = 1 << 20; // bytes of JSON that the manager takes
const [firstPause, lastPause] = [50, 2000]; // milliseconds before the next try to connect
const maxQueued = 64; // messages that were read and wait for their handler; then reading waits
const managersOwn = new Set(["status", "error", "pong"]);

export class Flow {
  #path;
  #handlers = new Map();
  #lifecycle = () => {};
  #socket = null; // while it is connected
  #waiting = []; // who waits for a connection
  #queue = [];
  #working = false;
  #ready = false;
  #end = new AbortController();

  constructor(path = process.env.FLOW_SOCKET) {
    this.#path = path;
  }

  // on has handler called for messages of a type; "" is for those that have no handler of their own. What it returns is sent as
  // the reply. "status" is for the container's status, "error" for what the manager did not understand.
  on(type, handler) {
    this.#handlers.set(type, handler);
  }

  // onLifecycle has callback(event, graceSeconds) called before the manager stops the flow: stopping, restarting or updating.
  onLifecycle(callback) {
    this.#lifecycle = callback;
  }

  // emit sends an object to whoever watches the flow. It waits for a connection and is done when the message was written whole.
  async emit(message) {
    if (typeof message !== "object" || message === null || Array.isArray(message)) throw new TypeError("a message is an object");
    while (!this.#socket) {
      if (this.#end.signal.aborted) throw new Error("the flow has ended");
      await new Promise((resolve) => this.#waiting.push(resolve));
    }
    await send(this.#socket, message);
  }

  // event tells that an actor did something; the manager keeps that in its log of activity.
  event(actor, event, data = null) {
    return this.emit({ type: "actor_event", actor, event, data });
  }

  // reply sends answer as the reply to message, now or later.
  reply(message, answer) {
    return this.emit({ ...answer, reply_to: message.id });
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
    this.#wake();
  }

  // run serves until stop is called.
  async run() {
    const signal = this.#end.signal;
    for (let pause = firstPause; !signal.aborted; ) {
      pause = (await this.#serve()) ? firstPause : Math.min(2 * pause, lastPause);
      await sleep(pause * (0.5 + Math.random() / 2), null, { signal }).catch(() => {}); // aborted by stop
    }
  }

  // serve reads one connection to its end and tells whether there was anything to read.
  #serve() {
    return new Promise((resolve) => {
      let served = false;
      let rest = Buffer.alloc(0);
      const socket = net.connect(this.#path);
      socket.on("connect", () => this.#greet(socket));
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
    this.#wake();
  }

  #wake() {
    for (const resolve of this.#waiting.splice(0)) resolve();
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
      this.#lifecycle(message.event, message.grace_seconds);
      return;
    }
    this.#queue.push(message);
    if (this.#queue.length >= maxQueued) socket.pause();
    this.#work();
  }

  async #work() {
    if (this.#working) return;
    this.#working = true;
    while (this.#queue.length > 0) {
      await this.#handle(this.#queue.shift()).catch((problem) => console.error(problem));
      if (this.#queue.length < maxQueued) this.#socket?.resume();
    }
    this.#working = false;
  }

  async #handle(message) {
    const handler = this.#handlers.get(message.type) ?? (managersOwn.has(message.type) ? undefined : this.#handlers.get(""));
    const answer = await handler?.(message);
    if (answer != null) await this.reply(message, answer);
  }
}

// send is done when the frame was written whole.
function send(socket, message) {
  const body = Buffer.from(JSON.stringify(message));
  if (body.length > maxFrame) return Promise.reject(new RangeError(`a message has at most ${maxFrame} bytes`));
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  return new Promise((resolve, reject) => socket.write(Buffer.concat([head, body]), (problem) => (problem ? reject(problem) : resolve())));
}
