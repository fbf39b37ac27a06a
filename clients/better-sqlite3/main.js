// A client on the SQLite file that all clients of a run share, by way of better-sqlite3.

import Database from "better-sqlite3";
import { fromEnvironment, serve } from "squall-client-kit";

const { client, database: file } = fromEnvironment();
let database;

function execute(sql, parameters = []) {
  const statement = database.prepare(sql);
  if (!statement.reader) {
    statement.run(...parameters);
    return [];
  }
  return statement.raw().safeIntegers().all(...parameters);
}

await serve({
  engine: engine(),
  sharesAFile: true,
  open({ request_deadline_ms }) {
    database = new Database(file, { fileMustExist: true, timeout: request_deadline_ms });
    execute("PRAGMA synchronous = full");
    const [[identity]] = execute("SELECT identity FROM squall_database");
    return { session: `${identity}/${client}`, new_session: false };
  },
  execute,
  checkIntegrity: () => execute("PRAGMA integrity_check").flat(),
  close: () => database.close(),
});

function engine() {
  const memory = new Database(":memory:");
  const version = memory.prepare("SELECT sqlite_version()").pluck().get();
  memory.close();
  return { name: "SQLite by better-sqlite3", version };
}
