// What clients on PowerSync's SDKs for JavaScript have in common: the adapter around a PowerSyncDatabase, which is
// used as an application uses it.

/** Whether the queue is uploaded and its write checkpoint reached, which no call of the SDK says. */
const UPLOADS = `
  SELECT (SELECT count(*) FROM ps_crud) AS queue, NOT EXISTS (
    SELECT 1 FROM ps_kv target LEFT JOIN ps_kv applied ON applied.key = 'last_applied_checkpoint_request_id'
    WHERE target.key = 'target_checkpoint_request_id'
      AND ifnull(CAST(applied.value AS INTEGER) < CAST(target.value AS INTEGER), 1)
  ) AS reached`;

/**
 * @param {object} sdk
 * @param {{name: string, version: string}} sdk.engine
 * @param {any} sdk.common The package @powersync/common.
 * @param {(configuration: any, schema: any) => Promise<{database: any, isNew: boolean}>} sdk.open Makes the
 *   PowerSyncDatabase, which need not be ready yet.
 * @param {boolean} [sdk.severalTabs] Whether several tabs may have the database open at once.
 * @param {(sql: string, parameters: any[]) => [string, any[]]} [sdk.bind] What to give the SDK for a statement of
 *   the run, so that no value is garbled on its way.
 * @param {(configuration: any) => Connector} [sdk.connector] Makes the connector.
 * @returns {import("../kit-js/types.js").Adapter}
 */
export function adapter({
  engine,
  common,
  open,
  severalTabs = false,
  bind = (...statement) => statement,
  connector: makeConnector = (configuration) => new Connector(configuration),
}) {
  let configuration, database, connector, log;

  return {
    engine,
    severalTabs,

    async open(given, logger) {
      [configuration, log] = [given, logger];
      const opened = await open(configuration, schema(common, configuration.tables));
      database = opened.database;
      await database.waitForReady();
      connector = makeConnector(configuration);
      return { session: await database.getClientId(), new_session: opened.isNew };
    },

    async transaction(access, body) {
      const inTransaction = (transaction) =>
        body(async (sql, parameters) => {
          if (access === "read" && severalTabs && WRITES.test(sql)) throw new Error(`no write in a read: ${sql}`);
          return (await transaction.executeRaw(...bind(sql, parameters))).rawRows;
        });
      if (access === "write") return database.writeTransaction(inTransaction);
      if (severalTabs) return database.readTransaction(inTransaction);
      return database.readTransaction((transaction) => readOnly(transaction, inTransaction));
    },

    watch(changed) {
      const tables = configuration.tables.map((table) => table.name);
      database.onChange({ onChange: changed, onError: (error) => log("error", `onChange: ${error}`) }, { tables });
    },

    connect() {
      const { sdk = {} } = configuration;
      const options = {
        crudUploadThrottleMs: sdk.upload_throttle_ms,
        retryDelayMs: sdk.retry_delay_ms,
        checkpointMode: sdk.checkpoint_mode,
      };
      // It resolves when there is a connection, which may never be.
      database.connect(connector, options).catch((error) => log("error", `connect: ${error}`));
    },

    disconnect: () => database.disconnect(),

    async status() {
      const { connected, uploading, downloading, ...state } = read(database.currentStatus);
      const { queue, reached } = await database.get(UPLOADS);
      const details = database.currentStatus.getMessage();
      return { connected, uploading, downloading, ...state, queue, acknowledged: queue === 0 && reached === 1, details };
    },

    async checkIntegrity() {
      const rows = await database.getAll("PRAGMA integrity_check");
      return rows.map((row) => row.integrity_check);
    },

    // As the SDK does it: the last tab disconnects.
    close: () => database.close(),
  };
}

/**
 * A statement that writes, by its words. Tabs may have one connection together, on which a tab that is closed within a
 * transaction would leave `PRAGMA query_only` on for the others.
 */
const WRITES = /^(?:[^'"]|'[^']*'|"[^"]*")*?\b(?:INSERT|UPDATE|DELETE|REPLACE\s+INTO|CREATE|DROP|ALTER)\b/i;

/** Where the SDK has one connection for all, it lets a read transaction write, and undoes that in the end. */
async function readOnly(transaction, body) {
  await transaction.executeRaw("PRAGMA query_only = on");
  try {
    return await body(transaction);
  } finally {
    await transaction.executeRaw("PRAGMA query_only = off");
  }
}

/** The SDK's status in the contract's words. */
function read(status) {
  const progress = status.downloadProgress;
  return {
    connected: status.connected,
    uploading: status.uploading,
    downloading: status.downloading,
    ...(progress && { download: { downloaded: progress.downloadedOperations, total: progress.totalOperations } }),
    last_synced_at_ms: status.lastSyncedAt?.getTime() ?? null,
    last_error: (status.uploadError ?? status.downloadError)?.message ?? null,
  };
}

function schema({ Schema, Table, column }, tables) {
  const types = { INTEGER: column.integer, TEXT: column.text, REAL: column.real };
  const made = tables.map(({ name, columns, index = [], track_previous = false }) => {
    const entries = columns.map((one) => [one.name, types[one.type]]);
    const indexes = index.length > 0 ? { squall: index } : {};
    return [name, new Table(Object.fromEntries(entries), { indexes, trackPrevious: track_previous })];
  });
  return new Schema(Object.fromEntries(made));
}

/** The application's part of an SDK: credentials from the backend, and uploads to it. */
export class Connector {
  #configuration;
  #token = null;

  constructor(configuration) {
    this.#configuration = configuration;
  }

  async fetchCredentials() {
    const { client } = this.#configuration;
    const answer = await this.#request(`/credentials?client=${encodeURIComponent(client)}`, {});
    const { endpoint, token, expires_at_ms } = await answer.json();
    this.#token = token;
    return { endpoint, token, expiresAt: new Date(expires_at_ms) };
  }

  /** The SDK calls it again as long as there is something to upload, and after an error. */
  async uploadData(database) {
    const { uploader } = this.#configuration;
    const { batch } = uploader;
    const next = batch ? await database.getCrudBatch(batch.size) : await database.getNextCrudTransaction();
    if (!next) return;
    const [first, last] = [next.crud[0].clientId, next.crud.at(-1).clientId];
    const id = batch ? `batch-${first}-${last}` : `transaction-${next.transactionId}`;
    await this.send(database, id, next.crud);
    await next.complete();
    if (batch) await new Promise((resolve) => setTimeout(resolve, batch.pause_ms));
  }

  /**
   * Has the backend apply entries of the queue in one transaction of its database. When this resolves, that is
   * committed; when it rejects, it may be.
   *
   * @param {any} database
   * @param {string} id The same one when the same entries are sent again.
   * @param {any[]} crud
   */
  async send(database, id, crud) {
    const body = {
      client_id: await database.getClientId(),
      upload_id: id,
      crud: crud.map(({ op, table, id, opData, previousValues }) => ({
        op,
        type: table,
        id,
        ...(opData && { data: opData }),
        ...(previousValues && { old: previousValues }),
      })),
    };
    if (!this.#token) await this.fetchCredentials();
    try {
      await this.#request("/upload", {
        method: "POST",
        headers: { authorization: `Bearer ${this.#token}`, "content-type": "application/json" },
        body: JSON.stringify(body),
      });
    } catch (error) {
      if (error.status === 401) this.#token = null;
      throw error;
    }
  }

  async #request(path, options) {
    const { backend_url, request_deadline_ms } = this.#configuration;
    const signal = AbortSignal.timeout(request_deadline_ms);
    const answer = await fetch(backend_url + path, { ...options, signal });
    if (answer.ok) return answer;
    const error = new Error(`${path.split("?")[0]}: ${answer.status} ${await answer.text()}`);
    throw Object.assign(error, { status: answer.status });
  }
}
