// Has clients of the newest version leave as soon as they have upgraded, in the way of people who close a page:
//
//   node leave.mjs URL COUNT
//
// It prints how many have upgraded.
import { io } from "socket.io-client";

const [url, count] = process.argv.slice(2);
let upgraded = 0;

// visit resolves when the client has gone.
function visit() {
  return new Promise((resolve, reject) => {
    const socket = io(url, { forceNew: true, reconnection: false });
    socket.on("connect_error", reject);
    socket.io.engine.once("upgrade", () => {
      upgraded++;
      socket.io.engine.once("close", resolve);
      queueMicrotask(() => socket.disconnect()); // within the event, before it is connected, it would wait for the event
    });
  });
}

const lanes = Array.from({ length: 10 }, async () => {
  for (let i = 0; i < Number(count) / 10; i++) await visit();
});
await Promise.all(lanes);
console.log(JSON.stringify({ upgraded }));
