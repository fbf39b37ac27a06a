// Values in messages.

/**
 * @param {string} text
 * @returns {any} The message. A real without a fraction (`2.0`) becomes the tagged form, since it would be an
 *   integer otherwise.
 */
export function parse(text) {
  return JSON.parse(text, (_, value, context) =>
    Number.isInteger(value) && /[.eE]/.test(context?.source ?? "") ? { real: context.source } : value,
  );
}

/**
 * @param {any} value A value in a message.
 * @returns {import("./types.js").Value}
 */
export function decode(value) {
  if (value === null || typeof value === "string") return value;
  if (typeof value === "number") return Number.isInteger(value) ? BigInt(value) : value;
  if (typeof value?.integer === "string") return BigInt(value.integer);
  if (typeof value?.real === "string") return REALS[value.real] ?? Number(value.real);
  if (typeof value?.blob === "string" && /^([0-9a-f]{2})*$/i.test(value.blob)) {
    return Uint8Array.from(value.blob.match(/../g) ?? [], (digits) => parseInt(digits, 16));
  }
  throw new Error(`that is no value: ${JSON.stringify(value)}`);
}

/**
 * @param {import("./types.js").Value} value
 * @returns {any} The value in a message.
 */
export function encode(value) {
  switch (typeof value) {
    case "string":
      return value;
    case "bigint":
      return Number.isSafeInteger(Number(value)) ? Number(value) : { integer: String(value) };
    case "number":
      return Number.isFinite(value) ? value : { real: String(value).replace("Infinity", "inf") };
    case "boolean":
      return Number(value);
  }
  if (value == null) return null;
  if (ArrayBuffer.isView(value)) {
    const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    return { blob: Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("") };
  }
  throw new Error(`the database answered what is no value of SQLite's: ${value}`);
}

const REALS = { inf: Infinity, "-inf": -Infinity, NaN };
