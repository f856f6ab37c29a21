// net.js draws the unrolled network: lanes upward, columns of time to the right, those far from the current one folded.
const COL = 86, ROW = 76, WIDE = 60, HIGH = 46, TOP = 30, BOTTOM = 30, FEW = 12, BARS = 12;
const netPlace = document.getElementById("net");
const TALLEST = Math.max(...LANES.map((lane) => lane.level));
const NAME_WIDTH = Math.min(128, Math.max(...LANES.map((lane) => lane.name.length)) * 7.4 + 14);
const laneNumber = new Map(LANES.map((lane, k) => [lane.name, k]));
let focusColumn = 0;

// The columns to show: numbers, {hidden: n} where n of them are folded, and {part} where another part begins.
function shownColumns() {
  const C = HEAD.columns.length;
  const room = Math.floor((netPlace.clientWidth - NAME_WIDTH - 40) / COL), keep = new Set();
  const ends = room > 8 ? 2 : 1, width = Math.max(3, room - 2 * ends - 2);
  if (C <= Math.max(FEW, room)) for (let c = 0; c < C; c++) keep.add(c);
  else {
    const from = Math.max(0, Math.min(C - width, focusColumn - Math.floor(width / 2)));
    for (let c = 0; c < ends; c++) keep.add(c).add(C - 1 - c);
    for (let c = from; c < from + width; c++) keep.add(c);
  }
  const shown = [];
  let hidden = 0;
  for (let c = 0; c < C; c++) {
    const begins = c > 0 && HEAD.columns[c].part !== HEAD.columns[c - 1].part;
    if (hidden && (begins || keep.has(c))) {
      shown.push({ hidden });
      hidden = 0;
    }
    if (begins) shown.push({ part: HEAD.columns[c].part });
    if (keep.has(c)) shown.push(c);
    else hidden++;
  }
  return shown;
}

// A name in at most `most` letters.
function brief(name, most) {
  return name.length > most ? `${name.slice(0, most - 1)}…` : name;
}

function stepName(lane, column) {
  const quantities = LANES[lane].quantities;
  return `${quantities[quantities.length - 1].name}(${time(column)})`;
}

function drawNet() {
  const shown = shownColumns();
  const x = new Map(), lefts = [], names = new Map([[HEAD.columns[0].part, 4]]);
  let left = NAME_WIDTH + 40;
  for (const c of shown) {
    if (typeof c === "number") x.set(c, left);
    if (c.part !== undefined) { // a gap for the names of the lanes that begin here
      names.set(c.part, left + 6);
      left += NAME_WIDTH + 30;
    }
    lefts.push(left);
    if (c.part === undefined) left += COL;
  }
  const y = (lane) => TOP + (TALLEST - LANES[lane].level) * ROW;
  const width = left, height = TOP + TALLEST * ROW + HIGH + BOTTOM;
  const parts = [
    `<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    '<defs><pattern id="hatch" width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">',
    '<rect width="1.7" height="4" style="fill: var(--backward)"/></pattern>',
  ];
  for (const kind of ["", "done", "back"]) {
    parts.push(`<marker id="tip${kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6.5" markerHeight="6.5"`,
      ` markerUnits="userSpaceOnUse" orient="auto-start-reverse"><path class="tip ${kind}" d="M0 0 L8 4 L0 8 z"/></marker>`);
  }
  parts.push("</defs>");
  const labels = [];
  LANES.forEach((lane, k) => {
    const part = HEAD.columns[Math.min(...rank[k].keys())].part;
    labels.push(`<text class="lane" x="${names.get(part)}" y="${y(k) + HIGH / 2 + 4}">${escaped(brief(lane.name, 19))}<title>${escaped(lane.name)}</title></text>`);
  });
  shown.forEach((c, k) => {
    const middle = lefts[k] + WIDE / 2;
    if (typeof c === "number") {
      parts.push(`<text class="soft" text-anchor="middle" x="${middle}" y="${height - 10}">${escaped(HEAD.columns[c].label)}</text>`);
    } else if (c.hidden) {
      parts.push(`<text class="fold" text-anchor="middle" x="${middle}" y="${height / 2 - 8}">⋯</text>`,
        `<text class="fold" text-anchor="middle" x="${middle}" y="${height / 2 + 8}">${c.hidden} steps</text>`,
        `<text class="fold" text-anchor="middle" x="${middle}" y="${height / 2 + 24}">folded</text>`);
    }
  });
  for (const arrow of HEAD.arrows) drawArrow(parts, labels, arrow, x, y);
  for (const c of shown) {
    if (typeof c === "number") LANES.forEach((_, k) => { if (rank[k].has(c)) drawStep(parts, k, c, x.get(c), y(k)); });
  }
  parts.push(...labels);
  if (HEAD.loss.terms !== null) {
    const terms = arrayOf(HEAD.loss.terms).data;
    HEAD.outputs.forEach((c, k) => {
      if (x.has(c) && isForward(laneNumber.get(HEAD.outputLane), c)) {
        parts.push(`<text class="soft" text-anchor="middle" x="${x.get(c) + WIDE / 2}" y="${TOP - 12}">L = ${short(terms[k])}</text>`);
      }
    });
  }
  parts.push("</svg>");
  const focused = document.activeElement?.dataset?.step;
  netPlace.innerHTML = parts.join("");
  if (focused) netPlace.querySelector(`[data-step="${focused}"]`)?.focus({ preventScroll: true });
  const now = x.get(focusColumn);
  if (now !== undefined && width > netPlace.clientWidth) netPlace.scrollLeft = now - netPlace.clientWidth / 2;
}

function drawStep(parts, lane, column, left, top) {
  const now = current(), forward = isForward(lane, column), backward = isBackward(lane, column);
  const classes = ["step"];
  if (forward) classes.push("done");
  if (backward) classes.push("back");
  if (now && now.lane === lane && now.column === column) classes.push("now");
  if (player.chosen && player.chosen.lane === lane && player.chosen.column === column) classes.push("chosen");
  const name = stepName(lane, column);
  const state = backward ? "gradient has arrived" : forward ? "computed" : "not computed yet";
  parts.push(`<g class="${classes.join(" ")}" data-step="${lane},${column}" tabindex="0" role="button" `,
    `aria-label="${escaped(`${name} of ${LANES[lane].name}: ${state}`)}">`,
    `<rect class="box" x="${left}" y="${top}" width="${WIDE}" height="${HIGH}" rx="7"/>`);
  const quantities = LANES[lane].quantities, main = quantities[quantities.length - 1];
  const inBox = `${backward ? "d" : ""}${brief(main.name, 4)}(${time(column)})`;
  const numbers = forward ? numbersAt(main, column, backward ? "gradients" : "values") : null;
  parts.push(`<text class="soft" x="${left + 5}" y="${top + 12}">${escaped(inBox)}</text>`);
  if (numbers) {
    const count = Math.min(BARS, numbers.length), slot = (WIDE - 12) / count, middle = top + 29;
    let most = 0, odd = false;
    for (const v of numbers) { if (Number.isFinite(v)) most = Math.max(most, Math.abs(v)); else odd = true; }
    parts.push(`<line class="zero" x1="${left + 5}" x2="${left + WIDE - 5}" y1="${middle}" y2="${middle}"/>`);
    if (odd) parts.push(`<text x="${left + 16}" y="${top + 34}">NaN</text>`);
    else for (let k = 0; k < count; k++) {
      const tall = most ? 13 * Math.abs(numbers[k]) / most : 0;
      parts.push(`<rect class="bar" x="${left + 6 + k * slot}" y="${numbers[k] > 0 ? middle - tall : middle}" `,
        `width="${Math.max(1, Math.min(9, slot - 1))}" height="${tall}"/>`);
    }
  }
  parts.push("</g>");
}

netPlace.addEventListener("click", (event) => {
  const step = event.target.closest("[data-step]");
  if (step) choose(step.dataset.step, true);
});
for (const kind of ["pointerover", "focusin"]) {
  netPlace.addEventListener(kind, (event) => {
    const step = event.target.closest("[data-step]");
    if (step) peek(step.dataset.step);
  });
}
netPlace.addEventListener("pointerleave", () => peek(null));
