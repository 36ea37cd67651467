// A flow that repeats what it is sent, and raises an event where it is told to.
import { Flow } from "./flow.mjs";

const flow = new Flow();
flow.on("", (message) => ({ type: "echo", message }));
flow.on("actor", async (message) => {
  await flow.event(message.actor, message.event, message.data);
});
flow.onLifecycle((event, grace_seconds) => {
  flow.emit({ type: "told", event, grace_seconds }).catch((problem) => console.error(problem));
});
process.on("SIGTERM", () => flow.stop());
flow.ready();
await flow.run();
