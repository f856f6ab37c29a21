// details.js tells everything about one step: shapes, numbers, equations and the reference BPTT's lines.
const detailsPlace = document.getElementById("details");
const ROWS = 16;
const unfolded = new Map(); // by the quantity's name, whether its numbers are shown
let opened = false;

function drawDetails(step) {
  detailsPlace.replaceChildren();
  if (step === null) {
    detailsPlace.append(
      element("h2", { textContent: "Nothing computed yet" }),
      element("p", { textContent: "Press → or Play. Point at a step of the network, or reach it with Tab, to see its numbers, equations and the line of code that computes it." }),
    );
    return;
  }
  const { lane, column } = step, entry = LANES[lane];
  const heading = element("h2", { textContent: `${entry.name} at ${HEAD.columns[column].label}` });
  detailsPlace.append(heading);
  if (HEAD.columns[column].part) detailsPlace.append(element("p", { className: "hint", textContent: HEAD.columns[column].part }));
  const forward = isForward(lane, column), backward = isBackward(lane, column);
  detailsPlace.append(element("p", { className: "hint", textContent: backward
    ? "Its gradient is complete: all that depends on it has been visited."
    : forward ? "Computed; its gradient comes in the backward pass." : "Not computed yet." }));
  const few = entry.quantities.length < 3;
  const before = entry.quantities.filter((quantity) => quantity.start !== null && isFirst(quantity, column));
  for (const quantity of before) drawStartValues(quantity, column, entry);
  [...entry.quantities].reverse().forEach((quantity, k) => drawQuantity(quantity, column, forward, backward, few || k === 0));
  drawEquations(entry, column, backward);
  drawOwnShares(entry, column, backward);
}

// Whether this column's step reads the state before the first step.
function isFirst(quantity, column) {
  return isFirstColumn(LANES.findIndex((lane) => lane.quantities.includes(quantity)), column);
}

// The state before the first step, and its gradient when the backward pass is at its end.
function drawStartValues(quantity, column, entry) {
  const B = HEAD.batch, all = arrayOf(quantity.start).data, n = all.length / B, b = player.example;
  const back = quantity.startGradient !== null && isBackward(LANES.indexOf(entry), column);
  const symbol = `${quantity.name}(${column === 0 || HEAD.columns[column].part ? "−1" : "∞"})`;
  const place = element("details", { open: false }, element("summary", {}, element("b", { textContent: symbol }),
    element("span", { className: "hint", textContent: `  before the first step, ${B} × ${n}` })));
  const head = element("tr", {}, element("th", { textContent: "unit" }), element("th", { textContent: symbol }));
  if (quantity.startGradient !== null) head.append(element("th", { textContent: `d${symbol}` }));
  const body = element("tbody");
  for (let k = 0; k < n; k++) {
    const row = element("tr", {}, element("td", { textContent: String(k) }), numberCell(all[b * n + k], "start"));
    if (back) row.append(numberCell(arrayOf(quantity.startGradient).data[b * n + k], "start-gradient"));
    body.append(row);
  }
  place.append(element("div", { className: "values" }, element("table", {}, element("thead", {}, head), body)));
  detailsPlace.append(place);
}

function drawQuantity(quantity, column, forward, backward, important) {
  if (!quantity.columns.includes(column)) return;
  const values = numbersAt(quantity, column, "values"), gradients = numbersAt(quantity, column, "gradients");
  const symbol = `${quantity.name}(${time(column)})`;
  const title = element("summary", {}, element("b", { textContent: symbol }),
    element("span", { className: "hint", textContent: `  ${HEAD.batch} × ${values.length}` }));
  const place = element("details", { open: unfolded.get(quantity.name) ?? important }, title);
  title.onclick = () => unfolded.set(quantity.name, !place.open);
  detailsPlace.append(place);
  if (!forward) return;
  const table = element("table", { className: "numbers" });
  table.dataset.quantity = quantity.name;
  const head = element("tr", {}, element("th", { textContent: "unit" }), element("th", { textContent: symbol }));
  if (gradients) head.append(element("th", { textContent: `${gradientName(quantity.name)}(${time(column)})` }));
  table.append(element("thead", {}, head));
  const body = element("tbody"), count = opened ? values.length : Math.min(ROWS, values.length);
  const per = quantity.blocks.length ? values.length / quantity.blocks.length : values.length;
  for (let k = 0; k < count; k++) {
    const unit = quantity.blocks.length ? `${quantity.blocks[Math.floor(k / per)]} ${k % per}` : String(k);
    const row = element("tr", {}, element("td", { textContent: unit }), numberCell(values[k], "value"));
    if (gradients) row.append(backward ? numberCell(gradients[k], "gradient") : element("td", { className: "number", textContent: "·" }));
    body.append(row);
  }
  table.append(body);
  place.append(element("div", { className: "values" }, table));
  if (values.length > ROWS) {
    const more = element("button", { type: "button", textContent: opened ? "Fewer" : `All ${values.length} numbers` });
    more.onclick = () => { opened = !opened; drawDetails(shownStep()); };
    place.append(more);
  }
}

function numberCell(v, kind) {
  const cell = element("td", { className: `number ${kind}`, textContent: short(v), title: full(v) });
  cell.dataset.value = full(v);
  return cell;
}

function drawEquations(entry, column, backward) {
  const chosen = entry.explained.filter((line) => line.backward === backward);
  if (!chosen.length) return;
  detailsPlace.append(element("h3", { textContent: backward ? "Back" : "Forward" }));
  for (const line of chosen) {
    const place = element("div", { className: line.backward ? "equation backward" : "equation" });
    place.innerHTML = line.math; // made by the program that wrote the page, from its own equations
    if (line.code) place.append(element("code", { textContent: `${line.file}:${line.number}  ${line.code}` }));
    detailsPlace.append(place);
  }
}

// What this step adds to each parameter's pool.
function drawOwnShares(entry, column, backward) {
  const own = HEAD.pools.filter((pool) => entry.parameters.includes(pool.name));
  if (!own.length || !backward) return;
  detailsPlace.append(element("h3", { textContent: "Into the pools" }));
  const table = element("table"), body = element("tbody");
  for (const pool of own) {
    body.append(element("tr", {}, element("td", { textContent: `+ ${pool.name}` }),
      element("td", { className: "hint", textContent: pool.shape.join(" × ") }), numberCell(arrayOf(pool.norms).data[column], "share")));
  }
  table.append(body);
  detailsPlace.append(table);
}
