// Declares containers through connections that are cut again and again, as a client that repeats what it got no answer to:
//
//   node cut.mjs URL TRANSPORTS PREFIX COUNT
//
// Each request has an idempotency key, which its repetitions share. It prints one line of JSON: the answers by key, all of
// them, and how many tries failed. A try that neither is answered nor fails ends the program with status 1.
import { io } from "socket.io-client";

const patience = 60_000; // for everything
const answerWithin = 1_500;
const [url, transports, prefix, count] = process.argv.slice(2);
if (!url || !transports || !prefix || !count) {
  console.error("usage: node cut.mjs URL TRANSPORTS PREFIX COUNT");
  process.exit(2);
}

const socket = io(url, { transports: transports.split(","), reconnectionDelay: 20, reconnectionDelayMax: 200, timeout: 2_000 });
const tally = { answers: {}, failed: 0, disconnects: 0 };
socket.on("disconnect", () => tally.disconnects++);
const late = setTimeout(() => {
  console.error("not all was answered", JSON.stringify(tally));
  process.exit(1);
}, patience);

// ask resolves with the acknowledgement; it fails when none comes in time or the connection ends before.
function ask(event, body) {
  return new Promise((resolve, reject) => {
    socket.timeout(answerWithin).emit(event, body, (err, answer) => (err ? reject(err) : resolve(answer)));
  });
}

for (let i = 0; i < Number(count); i++) {
  const key = `${prefix}-${String(i).padStart(16, "0")}`;
  tally.answers[key] = [];
  for (const again of [false, true]) { // one more after the answer has come
    for (let answered = false; !answered; ) {
      try {
        const answer = await ask("create_container", {
          image: "flow-manager/absent:latest", labels: { run: prefix }, image_pull_policy: "never", idempotency_key: key,
        });
        tally.answers[key].push(answer.container_id ?? JSON.stringify(answer));
        answered = true;
      } catch {
        tally.failed++;
      }
    }
    if (!again && i % 4) break;
  }
}
clearTimeout(late);
console.log(JSON.stringify(tally));
socket.disconnect();
