// The client contract of squall (docs/clients.md) as a package without dependencies, for Node and browsers: an
// adapter gives what a database can do, the kit does the rest.

import { Client } from "./client.js";
import { fill } from "./statements.js";
import { fromEnvironment, fromPage } from "./surroundings.js";

export { createTables } from "./tables.js";
export { fill, fromEnvironment, fromPage };

/** @typedef {import("./types.js").Adapter} Adapter */

/**
 * Lives a client's life with that adapter: until the coordinator says stop (then it exits with the code 0), or
 * its connection ends.
 *
 * @param {Adapter} adapter
 * @param {import("./types.js").Surroundings} [surroundings] Where the coordinator is and what the client is
 *   called; without it as the environment variables say, or in a browser the page's address.
 */
export async function serve(adapter, surroundings) {
  const found = surroundings ?? (globalThis.process?.versions?.node ? fromEnvironment() : fromPage());
  await new Client(adapter, found).live();
}
