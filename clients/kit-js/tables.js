// The tables of a new database on plain SQLite.

import { fill } from "./statements.js";

/**
 * Makes the tables of a new database that syncs with nobody, and fills them. To be called in a transaction.
 *
 * @param {import("./types.js").Configuration} configuration
 * @param {import("./types.js").Execute} execute
 */
export async function createTables(configuration, execute) {
  for (const { name, columns, index = [] } of configuration.tables) {
    const others = columns.map((column) => `, ${column.name} ${column.type}`).join("");
    await execute(`CREATE TABLE ${name} (id TEXT PRIMARY KEY NOT NULL${others})`);
    if (index.length > 0) await execute(`CREATE INDEX ${name}_index ON ${name} (${index.join(", ")})`);
  }
  await fill(configuration, execute);
}
