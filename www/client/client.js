// The page of a client's tab: shows to a person what the worker says, and passes on what only a page
// is told by its browser. The client itself runs in the worker.

import { RowGrid } from "/shared/rows.js";
import { ago, rowsInWords, showState, stateOf } from "/shared/status.js";

const LOG_LINES = 200;

const element = (id) => document.getElementById(id);
const client = new URL(location.href).searchParams.get("client");
const grid = new RowGrid(element("rows"), "row");

/** Everything that is shown. */
const view = {
  status: null,
  control: false,
  ready: false,
  ended: null,
  /** Whether a person wants this client to be connected to the service. */
  wanted: true,
  rows: [],
};

let worker = null;

document.body.classList.toggle("framed", window.parent !== window);

if (client) {
  element("name").textContent = client;
  start();
} else {
  end("failed", "This address names no client: open /client/?client=NAME.");
}
render();
// "Last synced" grows older without news from the worker.
setInterval(render, 1000);

function start() {
  // The worker is told the client's name and the run's token as this page is.
  worker = new Worker(`worker.js${location.search}`, { type: "module" });
  worker.addEventListener("message", (event) => {
    receive(JSON.parse(event.data));
    render();
  });
  worker.addEventListener("error", (event) => {
    end("failed", `The client's worker failed: ${event.message ?? "it could not be loaded"}`);
    render();
  });
  for (const [target, names] of [
    [window, ["online", "offline"]],
    [document, ["freeze", "resume", "visibilitychange"]],
  ]) {
    for (const name of names) {
      target.addEventListener(name, () => tell({ type: "page-event", event: pageEvent(name) }));
    }
  }
  window.addEventListener("message", (event) => {
    // The demo page, which shows this one in a frame.
    if (event.source !== window.parent) return;
    if (event.data?.squall === "write") write();
    if (event.data?.squall === "differs") grid.mark(new Set(event.data.keys));
  });
}

function pageEvent(name) {
  return name === "visibilitychange" ? document.visibilityState : name;
}

/** Sends a message to the worker (`FromPage` in client-wasm/src/page.rs). */
function tell(message) {
  worker.postMessage(JSON.stringify(message));
}

/** Takes a message of the worker (`ToPage` in client-wasm/src/page.rs). */
function receive(message) {
  switch (message.type) {
    case "control":
      view.control = message.connected;
      break;
    case "ready":
      view.ready = true;
      log("info", `session ${message.session}${message["new-session"] ? " (new)" : ""}`);
      break;
    case "status":
      view.status = message.status;
      break;
    case "rows":
      view.rows = message.rows;
      grid.show(message.rows);
      break;
    case "written":
      element("written").textContent = message.text;
      break;
    case "log":
      log(message.level, message.line);
      break;
    case "fatal":
      end("failed", message.error);
      break;
    case "stopped":
      end("stopped", null);
      break;
  }
}

function end(state, error) {
  view.ended = state;
  view.ready = false;
  view.control = false;
  if (error) {
    element("fatal").textContent = error;
    element("fatal").hidden = false;
    log("error", error);
  }
}

function write() {
  if (!view.ready) return;
  tell({ type: "write" });
}

element("write").addEventListener("click", write);
element("connection").addEventListener("click", () => {
  view.wanted = !view.wanted;
  tell({ type: view.wanted ? "connect" : "disconnect" });
  render();
});

function state() {
  return view.ended ?? (view.ready ? stateOf(view.status) : "opening");
}

function render() {
  const { status } = view;
  showState(element("state"), state());
  const title = `${client ?? "squall client"}: ${state()}`;
  if (document.title !== title) document.title = title;
  show("queue", status ? rowsInWords(status.queue) : "–");
  show("last-synced", status ? ago(status.last_synced_at_ms) : "–");
  show("acknowledged", status ? (status.acknowledged ? "all" : "not yet") : "–");
  show("control", view.control ? "connected" : "not connected");
  show("last-error", status?.last_error ?? "none");
  element("last-error").toggleAttribute("data-bad", Boolean(status?.last_error));
  element("write").disabled = !view.ready || view.rows.length === 0;
  element("connection").disabled = !view.ready;
  show("connection", view.wanted ? "Disconnect" : "Connect");
  element("no-rows").hidden = view.rows.length > 0;
}

/** Shows a text. One that stands there already is not set again, which would make the browser paint anew. */
function show(id, text) {
  if (element(id).textContent !== text) element(id).textContent = text;
}

function log(level, line) {
  const list = element("log");
  const atEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 4;
  const item = document.createElement("li");
  item.dataset.level = level;
  item.textContent = `${new Date().toISOString().slice(11, 23)} ${line}`;
  list.append(item);
  while (list.childElementCount > LOG_LINES) list.firstElementChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}
