// numbers.js decodes the page's arrays when they are first needed, and writes numbers.
const HEAD = JSON.parse(document.getElementById("head").textContent);
const KINDS = { Int32: Int32Array, Float32: Float32Array, Float64: Float64Array };
const decoded = new Map();

// The array with this number: its numbers in C order, and its shape.
function arrayOf(number) {
  if (number === null || number === undefined) return null;
  if (!decoded.has(number)) {
    const element = document.getElementById(`a${number}`);
    const text = atob(element.textContent);
    const bytes = new Uint8Array(text.length);
    for (let k = 0; k < text.length; k++) bytes[k] = text.charCodeAt(k);
    const data = new KINDS[element.dataset.kind](bytes.buffer);
    const shape = element.dataset.shape === "" ? [] : element.dataset.shape.split(",").map(Number);
    decoded.set(number, { data, shape });
  }
  return decoded.get(number);
}

// Row k of an array, as a view.
function rowOf(number, k) {
  const array = arrayOf(number);
  if (array === null) return null;
  const size = array.shape.slice(1).reduce((a, b) => a * b, 1);
  return array.data.subarray(k * size, (k + 1) * size);
}

// A number in few digits, with a true minus sign.
function short(v) {
  if (Number.isNaN(v)) return "NaN";
  if (!Number.isFinite(v)) return v > 0 ? "∞" : "−∞";
  if (v === 0) return "0";
  const size = Math.abs(v);
  const text = size < 1e-3 || size >= 1e5 ? v.toExponential(2) : String(Number(v.toPrecision(4)));
  return text.replaceAll("-", "−").replace("e+", "e");
}

// All digits, as Python writes them.
function full(v) {
  if (Number.isNaN(v)) return "nan";
  return Number.isFinite(v) ? String(v) : v > 0 ? "inf" : "-inf";
}

function escaped(text) {
  const names = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return String(text).replace(/[&<>"']/g, (c) => names[c]);
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// --- The order of the steps ------------------------------------------------------------------------------------------
const LANES = HEAD.lanes;
const ORDER = arrayOf(HEAD.order).data;
const COUNT = ORDER.length / 2;
const rank = LANES.map(() => new Map());
for (let k = 0; k < COUNT; k++) rank[ORDER[2 * k]].set(ORDER[2 * k + 1], k);

const player = { frame: 0, example: 0, chosen: null, pool: 0 };

function isForward(lane, column) {
  const k = rank[lane].get(column);
  return k !== undefined && k < player.frame;
}

function isBackward(lane, column) {
  const k = rank[lane].get(column);
  return k !== undefined && 2 * COUNT - k <= player.frame;
}

// The step that the frame has just computed, forward or backward; null before the first.
function current(frame = player.frame) {
  if (frame === 0) return null;
  const k = frame <= COUNT ? frame - 1 : 2 * COUNT - frame;
  return { lane: ORDER[2 * k], column: ORDER[2 * k + 1], backward: frame > COUNT };
}

// A quantity's numbers at a column for the chosen example; `which` is "values" or "gradients".
function numbersAt(quantity, column, which) {
  const k = quantity.columns.indexOf(column);
  if (k < 0 || quantity[which] === null) return null;
  const row = rowOf(quantity[which], k);
  const width = row.length / HEAD.batch;
  return row.subarray(player.example * width, (player.example + 1) * width);
}

function gradientName(name) {
  return `d${name}`;
}

// Time without its letter: "t = 3" gives 3.
function time(column) {
  return HEAD.columns[column].label.split("= ").pop();
}
