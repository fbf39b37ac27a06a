// The statements of a run, and calls of them.

import { decode } from "./values.js";

/**
 * Makes the parameters of a statement, `$1`, `$2` and so on, `?`, which every driver binds by place: it takes
 * some values twice.
 *
 * @param {string} sql
 * @returns {{sql: string, order: number[]}} The statement, and which parameter (from 0) each of its `?` is.
 */
function byPlace(sql) {
  const order = [];
  const text = sql.replace(/'[^']*'|"[^"]*"|\$(\d+)/g, (found, number) => {
    if (number === undefined) return found;
    order.push(number - 1);
    return "?";
  });
  return { sql: text, order };
}

export class Statements {
  #statements;

  /**
   * @param {string[]} statements
   * @param {string} dialect
   */
  constructor(statements, dialect) {
    this.#statements = statements.map((sql) => (dialect === "postgres" ? { sql, order: null } : byPlace(sql)));
  }

  /**
   * Does calls, one after another.
   *
   * @param {{statement: number, parameters?: any[]}[]} calls
   * @param {import("./types.js").Execute} execute
   * @returns {Promise<import("./types.js").Value[][][]>} The rows of each.
   */
  async perform(calls, execute) {
    const results = [];
    for (const { statement, parameters = [] } of calls) {
      const found = this.#statements[statement];
      if (!found) throw new Error(`there is no statement ${statement}`);
      const values = parameters.map(decode);
      results.push(await execute(found.sql, found.order?.map((place) => values[place]) ?? values));
    }
    return results;
  }
}

/**
 * Does what `configure` asks for in a new database that syncs with nobody, after its tables are made.
 *
 * @param {import("./types.js").Configuration} configuration
 * @param {import("./types.js").Execute} execute
 */
export async function fill({ statements, new_database = [] }, execute) {
  await new Statements(statements, "sqlite").perform(new_database, execute);
}
