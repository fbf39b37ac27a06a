// A client on @powersync/web, in a page.

import * as common from "@powersync/common";
import { PowerSyncDatabase } from "@powersync/web";
import { version } from "./node_modules/@powersync/web/package.json";
import { serve } from "squall-client-kit";

import { adapter } from "../powersync-js/adapter.js";

/** SQLite's binding in the SDK ends a text at a NUL, which is refused here, and makes NULL of an empty blob. */
function bind(sql, parameters) {
  if (parameters.some((value) => typeof value === "string" && value.includes("\0"))) {
    throw new Error("a text with a NUL cannot be bound whole");
  }
  const isEmpty = (value) => value instanceof Uint8Array && value.length === 0;
  let place = 0;
  const text = sql.replace(/'[^']*'|"[^"]*"|\?/g, (found) =>
    found === "?" && isEmpty(parameters[place++]) ? "x''" : found,
  );
  return [text, parameters.filter((value) => !isEmpty(value))];
}

/** Whether anything is stored, in IndexedDB or in files: the origin is this client's own. */
async function hasStored() {
  if ((await indexedDB.databases()).length > 0) return true;
  const files = (await navigator.storage.getDirectory()).keys();
  return !(await files.next()).done;
}

await serve(
  adapter({
    engine: { name: "@powersync/web", version },
    common,
    severalTabs: true,
    bind,
    async open({ sdk = {} }, schema) {
      const isNew = !(await hasStored());
      const vfs = sdk.vfs && { vfs: sdk.vfs };
      // All tabs of a browser have this one: its origin is theirs alone.
      const database = new PowerSyncDatabase({ schema, database: { dbFilename: "squall.db", ...vfs } });
      return { database, isNew };
    },
  }),
);
