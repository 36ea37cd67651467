// Plays one container's whole life against a running flow-manager, as a client that knows the events and no acknowledgement:
//
//   node life.mjs URL IMAGE [NAME]
//
// Each step emits a request, waits for the events that answer it, checks them, and prints one line of JSON. The first step
// that does not hold is printed with what came instead, and ends the program with status 1.
import { io } from "socket.io-client";

const patience = 20_000;
const [url, image, name = `life-${process.pid}`] = process.argv.slice(2);
if (!url || !image) {
  console.error("usage: node life.mjs URL IMAGE [NAME]");
  process.exit(2);
}

const socket = io(url, { reconnection: false });
const arrived = [];
const waiting = new Set();

function record(event, data) {
  arrived.push({ event, data });
  for (const check of waiting) check();
}

socket.onAny(record);
socket.on("connect_error", (err) => record("connect_error", err.message));
socket.on("disconnect", (reason) => record("disconnect", reason));

// These end a step at once: none of them is expected before the last step is done.
const fatal = new Set(["error", "connect_error", "disconnect"]);

// arrival resolves with the data of the first event after `from` that has this name and fits.
function arrival(event, wanted, from) {
  return new Promise((resolve, reject) => {
    const settle = (done, value) => {
      clearTimeout(timer);
      waiting.delete(check);
      done(value);
    };
    const refuse = () => settle(reject, { expected: { [event]: wanted }, came: arrived.slice(from) });
    const check = () => {
      const came = arrived.slice(from);
      const found = came.find((a) => a.event === event && holds(a.data, wanted));
      if (found) settle(resolve, found.data);
      else if (came.some((a) => fatal.has(a.event))) refuse();
    };
    const timer = setTimeout(refuse, patience);
    waiting.add(check);
    check();
  });
}

// holds tells whether got has everything that wanted has. Of a list each wanted item must be somewhere in it; a pattern may
// fit anywhere.
function holds(got, wanted) {
  if (wanted instanceof RegExp) return wanted.test(JSON.stringify(got));
  if (Array.isArray(wanted)) return Array.isArray(got) && wanted.every((w) => got.some((g) => holds(g, w)));
  if (wanted === null || typeof wanted !== "object") return got === wanted;
  return got !== null && typeof got === "object" && Object.entries(wanted).every(([k, w]) => holds(got[k], w));
}

// step emits one request and resolves with the data of the first of its expected events once all are there.
async function step(name, request, expected) {
  const from = request ? arrived.length : 0;
  try {
    const answers = Object.entries(expected).map(([event, wanted]) => arrival(event, wanted, from));
    if (request) socket.emit(name, request);
    const [answer] = await Promise.all(answers);
    console.log(JSON.stringify({ step: name, ok: true, answer }));
    return answer;
  } catch (unmet) {
    console.log(JSON.stringify({ step: name, ok: false, ...unmet }, (_, v) => (v instanceof RegExp ? String(v) : v)));
    process.exit(1);
  }
}

await step("connect", null, { connected: {} });
const created = await step(
  "create_container",
  { name, image, environment: { GREETING: "hello" } },
  { container_created: { name, image, status: "created" } },
);
const container_id = created.container_id;
const message = { type: "greeting", text: `from ${name}` };

await step("start_container", { container_id }, { container_started: { container_id, status: "running" } });
await step("get_container_status", { container_id }, { container_status: { container_id, state: "running" } });
await step("send_message", { container_id, message }, {
  message_sent: { container_id, status: "sent" },
  message_received: { container_id, message: new RegExp(`"text":"${message.text}"`) },
});
await step("list_containers", {}, { container_list: { containers: [{ container_id, name, status: "running" }] } });
await step("restart_container", { container_id }, { container_restarted: { container_id, status: "running" } });
await step("pause_container", { container_id }, { container_paused: { container_id, status: "paused" } });
await step("unpause_container", { container_id }, { container_unpaused: { container_id, status: "running" } });
await step("stop_container", { container_id }, { container_stopped: { container_id, status: "stopped" } });
await step("delete_container", { container_id }, { container_deleted: { container_id, status: "deleted" } });
socket.close();
