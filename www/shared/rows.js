// A grid of a database's rows, and what it takes to compare two of them.

/** How long a cell stays highlighted after its value changed, in milliseconds. */
const HIGHLIGHT_MS = 2500;

/** Values longer than this many digits are shown by their last ones; the tooltip has them all. */
const LONGEST_SHOWN = 7;

/** A value as it fits into a cell. */
function short(value) {
  const text = String(value);
  return text.length > LONGEST_SHOWN ? `…${text.slice(-(LONGEST_SHOWN - 1))}` : text;
}

/** Shows rows in an `<ol class="grid">` and highlights the cells whose values changed. */
export class RowGrid {
  /** @param {HTMLOListElement} list @param {string} prefix of the cells' element ids */
  constructor(list, prefix) {
    this.list = list;
    this.prefix = prefix;
    this.cells = new Map();
  }

  /** @param {[number, number][]} rows every row of the database, as pairs of key and value */
  show(rows) {
    const first = this.cells.size === 0;
    const present = new Set();
    for (const [key, value] of rows) {
      present.add(key);
      const known = this.cells.get(key);
      const cell = known ?? this.#add(key);
      if (cell.value !== value) {
        cell.show(value);
        if (!first) cell.highlight();
      }
    }
    for (const [key, cell] of this.cells) {
      if (!present.has(key)) {
        cell.element.remove();
        this.cells.delete(key);
      }
    }
  }

  /** Marks the cells of these keys as different from what they should be, and no others. */
  mark(keys) {
    for (const [key, cell] of this.cells) {
      cell.element.classList.toggle("differs", keys.has(key));
    }
  }

  #add(key) {
    const cell = new Cell(key, `${this.prefix}-${key}`);
    this.cells.set(key, cell);
    this.list.append(cell.element);
    return cell;
  }
}

class Cell {
  constructor(key, id) {
    this.key = key;
    this.value = undefined;
    this.element = document.createElement("li");
    this.element.className = "cell";
    this.element.id = id;
    const label = document.createElement("span");
    label.className = "key";
    label.textContent = key;
    this.text = document.createElement("span");
    this.element.append(label, this.text);
  }

  show(value) {
    this.value = value;
    this.text.textContent = short(value);
    this.element.dataset.value = value;
    this.element.title = `key ${this.key}: ${value}`;
    this.element.classList.toggle("written", value >= 0);
    // The golden angle keeps the colours of neighbouring values apart.
    this.element.style.setProperty("--hue", String(Math.round((value * 137.508) % 360)));
  }

  highlight() {
    this.element.classList.add("changed");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.element.classList.remove("changed"), HIGHLIGHT_MS);
  }
}

/**
 * The keys whose values differ between two databases, a missing row being a difference too.
 * @param {[number, number][]} left @param {[number, number][]} right
 */
export function differences(left, right) {
  const values = new Map(left);
  const keys = new Set();
  for (const [key, value] of right) {
    if (values.get(key) !== value) keys.add(key);
    values.delete(key);
  }
  for (const key of values.keys()) keys.add(key);
  return keys;
}
