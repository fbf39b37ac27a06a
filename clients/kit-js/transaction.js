// Transactions on the one connection of a plain database.

/**
 * @param {import("./types.js").Execute} execute
 * @param {"read" | "write"} access
 * @param {(execute: import("./types.js").Execute) => Promise<void>} body
 */
export async function transact(execute, access, body) {
  await execute(`PRAGMA query_only = ${access === "read" ? "on" : "off"}`);
  await execute(access === "read" ? "BEGIN" : "BEGIN IMMEDIATE");
  try {
    await body(execute);
    await execute("COMMIT");
  } catch (error) {
    try {
      await execute("ROLLBACK");
    } catch {
      // Some errors have undone all by themselves, and there is nothing left to undo.
    }
    throw error;
  }
}
