// The SDK's own worker for its database connections, with one setting of better-sqlite3 more: it rounds integers
// beyond 2^53 unless it is told not to, which the SDK does not offer. Statements of the SDK stay as they are.

import Database from "better-sqlite3";
import { startPowerSyncWorker } from "@powersync/node/worker.js";

import { EXACTLY } from "./exactly.js";

class ExactDatabase extends Database {
  prepare(sql) {
    const statement = super.prepare(sql);
    return sql.startsWith(EXACTLY) ? statement.safeIntegers() : statement;
  }
}

startPowerSyncWorker({ loadBetterSqlite3: async () => ExactDatabase });
