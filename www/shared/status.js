// A client's status (`ClientStatus` in protocol/src/control.rs) in words.

/**
 * The one word for a client's state.
 * @returns {"offline" | "uploading" | "downloading" | "connected"}
 */
export function stateOf(status) {
  if (!status?.connected) return "offline";
  if (status.uploading) return "uploading";
  if (status.downloading) return "downloading";
  return "connected";
}

const WORDS = {
  opening: "Opening",
  offline: "Offline",
  uploading: "Uploading",
  downloading: "Downloading",
  connected: "Connected",
  failed: "Failed",
  stopped: "Stopped",
  closed: "Closed",
};

/** Shows a state in a pill; what did not change is not announced again to who listens to the page. */
export function showState(pill, state) {
  if (pill.dataset.state === state && pill.textContent === WORDS[state]) return;
  pill.dataset.state = state;
  pill.textContent = WORDS[state];
}

/** How long ago a time was, in words. */
export function ago(timeMs, nowMs = Date.now()) {
  if (timeMs == null) return "never";
  const seconds = Math.max(0, Math.round((nowMs - timeMs) / 1000));
  if (seconds < 2) return "just now";
  if (seconds < 120) return `${seconds} s ago`;
  return `${Math.round(seconds / 60)} min ago`;
}

/** A count of rows in words. */
export function rowsInWords(count) {
  return count === 1 ? "1 row" : `${count} rows`;
}
