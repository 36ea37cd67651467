// Connects by the client's defaults to a flow-manager behind a proxy, and prints what came of it as one line of JSON:
//
//   node proxied.mjs URL PATH TOKEN SECONDS
//
// It lists the containers by polling and by WebSocket, stays silent for so long, and lists them again.
import { io } from "socket.io-client";

const [url, path, token, seconds] = process.argv.slice(2);
const socket = io(url, { path, auth: { token }, reconnection: false });
const fail = (why) => {
  console.error(why);
  process.exit(1);
};
socket.on("connect_error", (err) => fail(`not connected: ${err.message} ${err.description ?? ""}`));
setTimeout(() => fail("not all has come"), 40_000 + 1000 * seconds).unref();

const upgraded = new Promise((resolve) => socket.io.engine.once("upgrade", resolve));
const list = () => new Promise((resolve) => socket.emit("list_containers", {}, resolve));
const lists = [];
await new Promise((resolve) => socket.once("connected", resolve));
lists.push((await list()).ok);
await upgraded;
lists.push((await list()).ok);
socket.once("disconnect", (reason) => reason === "io client disconnect" || fail(`cut off: ${reason}`));
await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
lists.push((await list()).ok);
console.log(JSON.stringify({ lists, transport: socket.io.engine.transport.name }));
socket.disconnect();
