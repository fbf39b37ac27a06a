// A client's life: the messages of the coordinator in, what the adapter says of its database out.
//
// Transactions, looks at the status and live queries take turns, so that what is sent says what was so when it
// is sent: an emission never shows less than an answer that went before it.

import { Statements } from "./statements.js";
import { transact } from "./transaction.js";
import { encode, parse } from "./values.js";

const CONTRACT = 1;
/** How often the status is looked at; it is sent when it changed, and at least every second. */
const STATUS_EVERY_MS = 200;
const STATUS_AT_LEAST_EVERY_MS = 800;

export class Client {
  #adapter;
  #surroundings;
  #socket;
  #statements = null;
  /** The end of the last turn. */
  #turn = Promise.resolve();
  /** The end of the last `connect` or `disconnect`. */
  #switched = Promise.resolve();
  /** The calls of the live query. */
  #watched = null;
  /** Whether the live query has to emit, and whether a turn for that is waiting. */
  #due = false;
  #emitting = false;
  #synced = false;
  #status = { text: "", sentAt: 0 };
  #stopping = false;

  constructor(adapter, surroundings) {
    this.#adapter = adapter;
    this.#surroundings = surroundings;
  }

  /** Resolves when the connection is over. */
  async live() {
    const socket = (this.#socket = new WebSocket(this.#surroundings.controlUrl));
    socket.addEventListener("open", () => this.#hello());
    socket.addEventListener("message", ({ data }) => this.#onMessage(data));
    await new Promise((resolve) => socket.addEventListener("close", resolve));
    if (this.#stopping) return this.#surroundings.end(0);
    // The end of the connection is the end of the run, and without a word it is nobody's wish.
    this.#stopping = true;
    this.#surroundings.end(1);
    // A page has no end of its own.
    await this.#adapter.close();
  }

  #hello() {
    const { dialect = "sqlite", engine, sharesAFile = false, severalTabs = false, ...can } = this.#adapter;
    const { client, runtime } = this.#surroundings;
    const capabilities = {
      syncs: can.connect !== undefined,
      watches: can.watch !== undefined,
      disconnects: can.disconnect !== undefined,
      checks_integrity: can.checkIntegrity !== undefined,
      shares_a_file: sharesAFile,
      several_tabs: severalTabs,
    };
    this.#send({ hello: { client, contract: CONTRACT, dialect, engine, runtime, capabilities } });
  }

  #onMessage(data) {
    let message;
    try {
      message = parse(data);
    } catch {
      // What is not understood is ignored.
    }
    if (typeof message === "string") return this.#handle(message, {});
    const members = Object.entries(message ?? {});
    if (members.length === 1) this.#handle(members[0][0], members[0][1] ?? {});
  }

  #handle(name, content) {
    switch (name) {
      case "configure":
        return this.#configure(content);
      case "execute":
        if (Number.isInteger(content.operation) && isCalls(content.calls)) this.#answer(content);
        return;
      case "watch":
        if (isCalls(content.calls)) this.#watch(content);
        return;
      case "connect":
      case "disconnect":
        if (this.#adapter[name]) this.#switch(name);
        return;
      case "check-integrity":
        return this.#inTurn(async () => this.#send({ integrity: { report: await this.#adapter.checkIntegrity() } }));
      case "stop":
        return this.#stop();
    }
  }

  async #configure(configuration) {
    if (this.#statements) return;
    const { dialect = "sqlite", open, connect } = this.#adapter;
    this.#statements = new Statements(configuration.statements, dialect);
    try {
      const session = await this.#adapter.open(configuration, this.#log);
      this.#send({ ready: session });
    } catch (error) {
      this.#send({ fatal: { error: describe(error) } });
      return this.#end();
    }
    if (connect) {
      this.#switch("connect");
      this.#keepReporting();
    }
  }

  #answer({ operation, access, calls }) {
    return this.#inTurn(async () => {
      const outcome = await this.#outcome(access === "read" ? "read" : "write", calls);
      this.#send({ completed: { operation, outcome } });
    });
  }

  async #outcome(access, calls) {
    if (!(await this.#hasSynced())) return { failed: "there was no complete sync yet" };
    let results;
    try {
      await this.#transaction(access, async (execute) => {
        results = encoded(await this.#statements.perform(calls, execute));
      });
      return { committed: results };
    } catch (error) {
      // Once all calls are done, it may have been committed, whatever was thrown.
      const uncertain = results !== undefined && access === "write";
      return { [uncertain ? "unknown" : "failed"]: describe(error) };
    }
  }

  async #transaction(access, body) {
    const { transaction, execute } = this.#adapter;
    if (transaction) return this.#adapter.transaction(access, body);
    await transact((sql, parameters = []) => execute.call(this.#adapter, sql, parameters), access, body);
    if (access === "write") this.#changed();
  }

  /** Whether transactions are welcome: a client that syncs has to have synced once. */
  async #hasSynced() {
    if (!this.#synced) {
      const { connect, status } = this.#adapter;
      this.#synced = !connect || (await this.#adapter.status()).last_synced_at_ms != null;
    }
    return this.#synced;
  }

  #watch({ calls, at_once }) {
    const isFirst = this.#watched === null;
    this.#watched = calls;
    if (isFirst) this.#inTurn(() => this.#adapter.watch?.(() => this.#changed()));
    if (at_once) this.#changed();
  }

  #changed() {
    this.#due = this.#watched !== null;
    if (!this.#due || this.#emitting) return;
    this.#emitting = true;
    this.#inTurn(() => {
      // A change from now on is for another turn.
      this.#emitting = false;
      return this.#emit();
    });
  }

  /** Emits. Before the first sync, and after an error, a later turn does. */
  async #emit() {
    if (!(await this.#hasSynced())) return;
    this.#due = false;
    let results;
    await this.#transaction("read", async (execute) => {
      results = encoded(await this.#statements.perform(this.#watched, execute));
    }).catch((error) => {
      this.#due = true;
      throw error;
    });
    this.#send({ emission: { results } });
  }

  #switch(name) {
    this.#switched = this.#switched
      .then(() => this.#adapter[name]())
      .catch((error) => this.#log("error", `${name}: ${describe(error)}`));
  }

  /** Sends the status, whenever it changed and at least every second. */
  async #keepReporting() {
    while (!this.#stopping) {
      await this.#inTurn(() => this.#reportStatus());
      if (this.#due) this.#changed();
      await new Promise((resolve) => setTimeout(resolve, STATUS_EVERY_MS));
    }
  }

  async #reportStatus() {
    const status = await this.#adapter.status();
    const text = JSON.stringify(status);
    const silent = performance.now() - this.#status.sentAt;
    if (text === this.#status.text && silent < STATUS_AT_LEAST_EVERY_MS) return;
    this.#status = { text, sentAt: performance.now() };
    this.#send({ status });
  }

  async #stop() {
    this.#stopping = true;
    await this.#turn;
    if (this.#statements) {
      try {
        await this.#adapter.close();
      } catch (error) {
        this.#log("error", `close: ${describe(error)}`);
      }
    }
    this.#end();
  }

  #end() {
    this.#socket.close();
  }

  /** Does something when everything before it is done. An error is logged. */
  #inTurn(work) {
    this.#turn = this.#turn.then(work).catch((error) => this.#log("error", describe(error)));
    return this.#turn;
  }

  /** @type {import("./types.js").Log} */
  #log = (level, line) => this.#send({ log: { level, line } });

  #send(message) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }
}

function isCalls(calls) {
  return Array.isArray(calls) && calls.every((call) => Number.isInteger(call?.statement));
}

function encoded(results) {
  return results.map((rows) => rows.map((row) => Array.from(row, encode)));
}

function describe(error) {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
