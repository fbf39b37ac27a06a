// The demo page: clients in frames, each on its own origin, beside a native client and PostgreSQL.
//
// What everyone holds is polled from the coordinator, whose control connections no fault touches;
// going offline is done by the coordinator too, which cuts that client's network.

import { RowGrid, differences } from "/shared/rows.js";
import { ago, rowsInWords, showState, stateOf } from "/shared/status.js";

/** The pause between two questions to the coordinator, in milliseconds. */
const POLL_MS = 500;

const element = (id) => document.getElementById(id);

/** Panes and other clients by name. */
const clients = new Map();
let postgres = null;

/** A client in a frame. */
class Pane {
  constructor({ name, page }) {
    this.name = name;
    this.page = page;
    this.origin = new URL(page).origin;
    this.rows = null;
    this.offline = false;
    this.card = instantiate("pane", name);
    this.card.querySelector("h2").textContent = name;
    this.card.querySelector(".origin").textContent = this.origin;
    this.pill = this.card.querySelector(".state");
    this.#button("write", () =>
      this.frame?.contentWindow.postMessage({ squall: "write" }, this.origin),
    );
    this.offlineButton = this.#button("offline", () => setOffline(this, !this.offline));
    this.#button("reload", () => this.open());
    this.closeButton = this.#button("close", () => (this.frame ? this.close() : this.open()));
    this.open();
  }

  #button(name, action) {
    const button = this.card.querySelector(`.${name}`);
    button.addEventListener("click", action);
    return button;
  }

  /** Loads the client's page, anew if it is open. */
  open() {
    this.frame?.remove();
    this.frame = document.createElement("iframe");
    this.frame.id = `frame-${this.name}`;
    this.frame.title = `Client ${this.name}`;
    this.frame.src = this.page;
    this.card.querySelector(".frame").replaceChildren(this.frame);
    this.#opened(true);
  }

  close() {
    this.frame.remove();
    this.frame = null;
    const note = document.createElement("p");
    note.textContent = "Closed. The database stays in this browser.";
    this.card.querySelector(".frame").replaceChildren(note);
    this.#opened(false);
  }

  #opened(open) {
    this.rows = null;
    showState(this.pill, open ? "opening" : "closed");
    this.closeButton.textContent = open ? "Close" : "Reopen";
    for (const name of ["write", "reload"]) {
      this.card.querySelector(`.${name}`).disabled = !open;
    }
  }

  update({ status, rows, offline }) {
    showOffline(this, offline);
    this.rows = this.frame ? rows : null;
    showState(this.pill, this.frame ? (status ? stateOf(status) : "opening") : "closed");
  }
}

/** A client that is not in this browser. */
class Other {
  constructor({ name }) {
    this.name = name;
    this.card = instantiate("other", name);
    this.card.querySelector("h2").textContent = name;
    this.pill = this.card.querySelector(".state");
    this.card.querySelector(".controls").hidden = false;
    this.grid = new RowGrid(this.card.querySelector("ol"), `row-${name}`);
    this.card
      .querySelector(".write")
      .addEventListener("click", () => ask(`/api/clients/${encodeURIComponent(name)}/write`));
    this.offlineButton = this.card.querySelector(".offline");
    this.offlineButton.addEventListener("click", () => setOffline(this, !this.offline));
  }

  update({ status, rows, offline }) {
    showState(this.pill, stateOf(status));
    showOffline(this, offline);
    this.card.querySelector(".about").textContent = status
      ? `To upload: ${rowsInWords(status.queue)} · last synced ${ago(status.last_synced_at_ms)}`
      : "A process with a SQLite file; not running.";
    this.rows = rows;
    if (rows) this.grid.show(rows);
  }
}

/** PostgreSQL itself. */
class Postgres {
  constructor() {
    this.card = instantiate("other", "postgres");
    this.card.querySelector("h2").textContent = "PostgreSQL";
    this.pill = this.card.querySelector(".state");
    this.card.querySelector(".about").textContent = "Where every upload ends, and every sync begins.";
    this.grid = new RowGrid(this.card.querySelector("ol"), "row-postgres");
  }

  update(rows) {
    showState(this.pill, rows ? "connected" : "offline");
    this.rows = rows;
    if (rows) this.grid.show(rows);
  }
}

/** A copy of a template, whose elements get ids that end in `name`. */
function instantiate(template, name) {
  const card = element(`${template}-template`).content.cloneNode(true).firstElementChild;
  card.id = `card-${name}`;
  card.querySelector("h2").id = `name-${name}`;
  card.setAttribute("aria-labelledby", `name-${name}`);
  for (const group of card.querySelectorAll("[role=group]")) {
    group.setAttribute("aria-label", `Actions on ${name}`);
  }
  for (const part of ["state", "write", "offline", "reload", "close", "about"]) {
    const found = card.querySelector(`.${part}`);
    if (found) found.id = `${part}-${name}`;
  }
  document.querySelector("main").append(card);
  return card;
}

function showOffline(client, offline) {
  client.offline = offline;
  client.offlineButton.textContent = offline ? "Back online" : "Go offline";
  client.offlineButton.setAttribute("aria-pressed", String(offline));
  client.card.toggleAttribute("data-offline", offline);
}

async function setOffline(client, offline) {
  const action = offline ? "offline" : "online";
  if (await ask(`/api/clients/${encodeURIComponent(client.name)}/${action}`)) {
    showOffline(client, offline);
  }
}

/** Asks the coordinator to do something. */
async function ask(path) {
  try {
    const answer = await fetch(path, { method: "POST" });
    if (!answer.ok) throw new Error(await answer.text());
    showTrouble(null);
    return true;
  } catch (error) {
    showTrouble(`That did not work: ${error.message}`);
    return false;
  }
}

function showTrouble(text) {
  element("trouble").textContent = text ?? "";
  element("trouble").hidden = !text;
}

/** Shows whether the coordinator answers. */
function reached(answers) {
  element("unreachable").hidden = answers;
}

/** Asks the coordinator how everyone is; its answer's shape is in www/README.md. */
async function poll() {
  try {
    const answer = await fetch("/api/state", { cache: "no-store" });
    if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
    const state = await answer.json();
    for (const client of state.clients) {
      if (!clients.has(client.name)) {
        clients.set(client.name, client.kind === "wasm" ? new Pane(client) : new Other(client));
      }
      clients.get(client.name).update(client);
    }
    postgres ??= new Postgres();
    postgres.update(state.postgres);
    reached(true);
    compare();
  } catch (error) {
    reached(false);
  }
  setTimeout(poll, POLL_MS);
}

/** Shows whether everyone who is open holds PostgreSQL's rows. */
function compare() {
  if (!postgres.rows) return;
  const differing = [];
  let compared = 1;
  for (const client of clients.values()) {
    if (!client.rows) continue;
    compared += 1;
    const keys = differences(client.rows, postgres.rows);
    client.grid?.mark(keys);
    client.frame?.contentWindow.postMessage({ squall: "differs", keys: [...keys] }, client.origin);
    if (keys.size > 0) differing.push(`${client.name} in ${keys.size} keys`);
  }
  const pill = element("agreement");
  pill.dataset.state = differing.length === 0 ? "connected" : "uploading";
  const text =
    differing.length === 0
      ? `All ${compared} databases hold the same rows`
      : `Differing from PostgreSQL: ${differing.join(", ")}`;
  if (pill.textContent !== text) pill.textContent = text;
}

poll();
