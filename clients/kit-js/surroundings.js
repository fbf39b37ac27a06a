// What a client finds when it is started: as a process, or in a page.

/**
 * @returns {import("./types.js").Surroundings & {database: string}} What the environment variables say;
 *   `database` is the path of the SQLite file.
 */
export function fromEnvironment() {
  const variable = (name) => {
    const value = process.env[name];
    if (!value) throw new Error(`${name} is not set: squall sets it when it starts this program`);
    return value;
  };
  return {
    controlUrl: variable("SQUALL_CONTROL_URL"),
    client: variable("SQUALL_CLIENT"),
    database: variable("SQUALL_DATABASE"),
    runtime: { name: "Node", version: process.versions.node },
    end: (code) => process.exit(code),
  };
}

/**
 * @returns {import("./types.js").Surroundings} What the address of this page says, as of every page that squall
 *   opens: `?client=NAME&token=TOKEN`.
 */
export function fromPage() {
  const { host, searchParams } = new URL(location.href);
  const client = searchParams.get("client");
  const controlUrl = `ws://${host}/control/${searchParams.get("token")}?client=${client}`;
  return { controlUrl, client, end: () => {} };
}
