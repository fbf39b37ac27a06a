// A client on @powersync/node.

import { existsSync, readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { Worker } from "node:worker_threads";
import * as common from "@powersync/common";
import { PowerSyncDatabase } from "@powersync/node";
import { fromEnvironment, serve } from "squall-client-kit";

import { adapter } from "../powersync-js/adapter.js";
import { EXACTLY } from "./exactly.js";

const { database: file } = fromEnvironment();
const packaged = new URL("node_modules/@powersync/node/package.json", import.meta.url);

await serve(
  adapter({
    engine: { name: "@powersync/node", version: JSON.parse(readFileSync(packaged, "utf8")).version },
    common,
    bind: (sql, parameters) => [EXACTLY + sql, parameters],
    async open(_, schema) {
      const isNew = !existsSync(file);
      const database = new PowerSyncDatabase({
        schema,
        database: {
          dbFilename: basename(file),
          dbLocation: dirname(file),
          openWorker: (_, options) => new Worker(new URL("worker.js", import.meta.url), options),
        },
      });
      return { database, isNew };
    },
  }),
);
