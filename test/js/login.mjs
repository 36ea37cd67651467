// Logs in to a running flow-manager and prints what comes of it, one line of JSON for each:
//
//   node login.mjs URL TOKEN
//
// It lists the containers, tries to stop one that there is not, and ends when the session does, or when there is none.
import { io } from "socket.io-client";

const [url, token] = process.argv.slice(2);
const socket = io(url, { auth: token ? { token } : {}, reconnection: false });
const say = (event, it = {}) => console.log(JSON.stringify({ event, ...it, ...it.details }));

socket.on("connected", (hello) => {
  say("connected", hello);
  socket.emit("list_containers", {}, (list) => {
    say("list_containers", { ok: list.ok });
    socket.emit("stop_container", { container_id: "nobody" });
  });
});
socket.on("error", (error) => say("error", error));
socket.on("disconnect", (reason) => say("disconnect", { reason }));
socket.on("connect_error", (error) => say("connect_error", { ...error.data, message: error.message }));
