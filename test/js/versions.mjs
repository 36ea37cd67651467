// Plays what every client does, with one of the client's versions:
//
//   node versions.mjs URL PACKAGE OPTIONS
//
// URL may have a query of the user's own. OPTIONS are the client's, as JSON. 200 requests are acknowledged, 1,000 events come in
// their order, another namespace is refused while the first goes on, and the end is clean. It prints what it saw as one line of JSON.
const [url, name, options] = process.argv.slice(2);
const client = await import(name);
const io = client.io ?? client.default.io ?? client.default;

const seen = { acks: 0, events: 0, transport: "", refused: "", after: 0, reason: "" };
setTimeout(() => {
  console.error("not all has come", JSON.stringify(seen));
  process.exit(1);
}, 30_000).unref();

const settings = { reconnection: false, ...JSON.parse(options) };
const socket = io(url, settings);
const once = (emitter, event) => new Promise((resolve) => emitter.once(event, resolve));
const ask = (event, body) => new Promise((resolve) => socket.emit(event, body, resolve));

socket.on("connect_error", (err) => {
  console.error("not connected:", err.message, err.description ?? "");
  process.exit(1);
});
await once(socket, "connect");
for (const n of Array(200).keys()) {
  const answer = await ask("echo", { n });
  if (answer.n === n) seen.acks++;
}
socket.on("tick", ({ n }) => {
  if (n === seen.events) seen.events++;
});
await ask("burst", {});
seen.transport = socket.io.engine.transport.name;

const [base, query] = url.split("?");
const other = io(`${base}/org/1.0?${query ?? ""}`, settings);
seen.refused = (await once(other, "connect_error")).message;
other.disconnect(); // older ones hold the connection for it
const answer = await ask("echo", { n: 7 });
seen.after = answer.n;

const ended = once(socket, "disconnect");
socket.disconnect();
seen.reason = await ended;
console.log(JSON.stringify(seen));
