// The client's worker: loads the WebAssembly module and starts the client in it.

import init, { start } from "/pkg/client_wasm.js";

try {
  await init();
  const parameters = new URL(self.location.href).searchParams;
  start(parameters.get("client"), parameters.get("token") ?? "");
} catch (error) {
  self.postMessage(JSON.stringify({ type: "fatal", error: `The client could not be loaded: ${error}` }));
}
