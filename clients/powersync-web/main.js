// A client on @powersync/web, in a page.

import * as common from "@powersync/common";
import { PowerSyncDatabase } from "@powersync/web";
import { version } from "./node_modules/@powersync/web/package.json";
import { fromPage, serve } from "squall-client-kit";

import { adapter } from "../powersync-js/adapter.js";

const { client } = fromPage();

await serve(
  adapter({
    engine: { name: "@powersync/web", version },
    common,
    async open({ sdk = {} }, schema) {
      // The page has an origin of its own, and with it everything that is stored.
      const isNew = localStorage.getItem(client) === null;
      localStorage.setItem(client, "there is a database");
      const vfs = sdk.vfs && { vfs: sdk.vfs };
      const database = new PowerSyncDatabase({ schema, database: { dbFilename: `${client}.db`, ...vfs } });
      return { database, isNew };
    },
  }),
);
