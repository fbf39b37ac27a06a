// The types of what an adapter gives and gets. There is no code here.

/**
 * A value of SQLite: INTEGER is a bigint, REAL a number, TEXT a string, BLOB a Uint8Array. An adapter may also
 * answer a number for an integer that a number holds exactly.
 *
 * @typedef {null | bigint | number | string | Uint8Array} Value
 */

/**
 * Does a statement, whose parameters are `?` in the order of the array, and answers its rows, each an array of
 * its columns' values; none for a statement without rows. (With the dialect "postgres" they are `$1`, `$2`, …)
 *
 * @typedef {(sql: string, parameters?: Value[]) => Value[][] | Promise<Value[][]>} Execute
 */

/**
 * What `status` answers, as in the contract. The kit sends it.
 *
 * @typedef {object} Status
 * @property {boolean} connected
 * @property {boolean} uploading
 * @property {boolean} downloading
 * @property {{downloaded: number, total: number}} [download]
 * @property {number | null} last_synced_at_ms
 * @property {number} queue
 * @property {boolean} acknowledged
 * @property {string | null} last_error
 * @property {string} [details] The state as the SDK itself says it, for people to read.
 */

/**
 * `configure` of the contract, as it came: `client`, `tables`, `statements`, `new_database`, `uploader`,
 * `backend_url`, `request_deadline_ms` and others.
 *
 * @typedef {Record<string, any>} Configuration
 */

/**
 * What a database can do. Every function may be asynchronous. What is left out, the client says that it cannot.
 *
 * @typedef {object} Adapter
 * @property {{name: string, version?: string}} engine For reports.
 * @property {"sqlite" | "postgres"} [dialect] "sqlite" without it.
 * @property {boolean} [sharesAFile] It works on a SQLite file that is there and that others work on.
 * @property {boolean} [severalTabs] Several tabs of a browser may have its database open at once.
 * @property {(configuration: Configuration, log: Log) => Promise<Session> | Session} open Opens the database, or
 *   makes it.
 * @property {Execute} [execute] Does a statement on the one connection on which the kit also does BEGIN and
 *   COMMIT. Left out by an adapter with `transaction`.
 * @property {(access: "read" | "write", body: (execute: Execute) => Promise<void>) => Promise<void>} [transaction]
 *   Does what `body` does in one transaction of the database: COMMIT when it resolves, and ROLLBACK when it
 *   rejects, which is passed on. For a database that has transactions of its own, in the place of `execute`.
 * @property {(changed: () => void) => Promise<void> | void} [watch] Calls `changed` whenever the tables may have
 *   changed from now on. What the kit commits with `execute` it knows by itself.
 * @property {() => Promise<void> | void} [connect] Syncs from now on. The kit calls it once the database is open;
 *   it need not wait until there is a connection.
 * @property {() => Promise<void> | void} [disconnect]
 * @property {() => Promise<Status> | Status} [status] Of a client that syncs.
 * @property {() => Promise<string[]> | string[]} [checkIntegrity] The rows of `PRAGMA integrity_check`.
 * @property {() => Promise<void> | void} close
 */

/** @typedef {{session: string, new_session: boolean}} Session */

/** @typedef {(level: "error" | "warn" | "info" | "debug", line: string) => void} Log */

/**
 * @typedef {object} Surroundings
 * @property {string} controlUrl The address of the WebSocket.
 * @property {string} client The client's name.
 * @property {{name: string, version?: string}} [runtime] What runs the client, for reports.
 * @property {(code: number) => void} end Ends the program.
 */

export {};
