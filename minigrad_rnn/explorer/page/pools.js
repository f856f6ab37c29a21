// pools.js shows each shared parameter's gradient pool as it grows, contribution by contribution.
const poolsPlace = document.getElementById("pools"), matrixPlace = document.getElementById("pool-matrix");
const logarithmic = document.getElementById("log");
const POOLS = HEAD.pools;

// The rows of a pool's arrays that can hold a contribution: its lane's columns, and the last row if it is not zero.
const poolRows = POOLS.map((pool) => {
  const C = HEAD.columns.length, rows = pool.lane === null ? [] : [...rank[pool.lane].keys()].sort((a, b) => a - b);
  return arrayOf(pool.norms).data[C] !== 0 ? [...rows, C] : rows;
});

// Whether the contribution of this column is in the pool by now; the last row holds what no time step contributed.
function isPooled(pool, row) {
  const C = HEAD.columns.length;
  if (row === C) return player.frame === 2 * COUNT;
  return pool.lane === null ? player.frame === 2 * COUNT : isBackward(pool.lane, row);
}

// The row that came in last, or null.
function latestRow(pool) {
  let found = null, best = Infinity;
  const C = HEAD.columns.length, norms = arrayOf(pool.norms).data;
  if (player.frame === 2 * COUNT && norms[C] !== 0) return C;
  if (pool.lane === null) return null;
  for (const [column, k] of rank[pool.lane]) if (k < best && isBackward(pool.lane, column)) { best = k; found = column; }
  return found;
}

function makePools() {
  POOLS.forEach((pool, k) => {
    const button = element("button", { type: "button", className: "pool" });
    button.dataset.pool = pool.name;
    button.append(element("span", { className: "line" },
      element("b", { textContent: pool.name }), element("span", { className: "hint", textContent: pool.shape.join(" × ") || "scalar" }),
      element("span", { className: "hint sum" })));
    button.insertAdjacentHTML("beforeend", '<svg preserveAspectRatio="none" aria-hidden="true"></svg>');
    button.onclick = () => { player.pool = k; drawPools(); };
    poolsPlace.append(button);
  });
}

function drawPools() {
  POOLS.forEach((pool, k) => {
    const button = poolsPlace.children[k], norms = arrayOf(pool.norms).data;
    const rows = poolRows[k], inside = rows.filter((row) => isPooled(pool, row));
    const latest = latestRow(pool);
    const norm = latest === null ? 0 : arrayOf(pool.running).data[latest];
    button.setAttribute("aria-pressed", String(player.pool === k));
    const sum = button.querySelector(".sum");
    const known = !Number.isNaN(norm) || norms.some((v) => Number.isNaN(v));
    sum.textContent = `${known ? `‖pool‖ = ${short(norm)} ` : ""}after ${inside.length} of ${rows.length}`;
    sum.dataset.value = full(norm);
    drawPoolBars(button.querySelector("svg"), norms, rows, new Set(inside), latest);
  });
  drawMatrices();
}

function drawPoolBars(svg, norms, rows, inside, latest) {
  const bins = Math.min(rows.length, 150), per = rows.length / bins;
  const most = norms.reduce((a, v) => (Number.isFinite(v) ? Math.max(a, v) : a), 1e-300);
  svg.setAttribute("viewBox", `0 0 ${bins * 10} 42`);
  svg.style.maxWidth = `${bins * 34}px`;
  const parts = [];
  for (let k = 0; k < bins; k++) {
    let v = 0, filled = false, now = false;
    for (const row of rows.slice(Math.floor(k * per), Math.floor((k + 1) * per))) {
      v = Number.isFinite(norms[row]) ? Math.max(v, norms[row]) : most;
      filled ||= inside.has(row);
      now ||= row === latest;
    }
    const tall = logarithmic.checked ? (v > 0 ? Math.max(0, 40 * (1 + Math.log10(v / most) / 12)) : 0) : 40 * v / most;
    const kind = now ? "latest" : filled ? "in" : "waiting";
    parts.push(`<rect class="${kind}" vector-effect="non-scaling-stroke" x="${k * 10 + 1}" y="${41 - tall}" width="8" height="${Math.max(tall, v > 0 ? 0.7 : 0)}"/>`);
  }
  svg.innerHTML = parts.join("");
}

// What one row contributed, number by number: from the page's arrays, or as dz(t)ᵀ v(t) where they hold the factors.
function contribution(pool, row) {
  if (pool.full !== null) return rowOf(pool.full, row);
  if (pool.factors === null || row === HEAD.columns.length) return null;
  const { dz: [lane, quantity], reads } = pool.factors, z = LANES[lane].quantities[quantity];
  const left = rowOf(z.gradients, z.columns.indexOf(row)), height = pool.shape[0], width = pool.shape[1];
  const product = new Float64Array(height * width);
  let from = 0;
  for (const [source, number, lag] of reads) {
    const q = LANES[source].quantities[number], k = q.columns.indexOf(row - lag);
    const right = k < 0 ? arrayOf(q.start).data : rowOf(q.values, k), n = right.length / HEAD.batch;
    for (let b = 0; b < HEAD.batch; b++) {
      for (let i = 0; i < height; i++) {
        const g = left[b * height + i];
        for (let j = 0; j < n; j++) product[i * width + from + j] += g * right[b * n + j];
      }
    }
    from += n;
  }
  return product;
}

// The sum of a pool's rows that are in; kept, since each step adds one to the last sum.
const summed = { pool: null, rows: new Set(), total: null };
function poolSoFar(pool, rows) {
  if (summed.pool !== pool || [...summed.rows].some((row) => !rows.includes(row))) {
    Object.assign(summed, { pool, rows: new Set(), total: new Float64Array(arrayOf(pool.total).data.length) });
  }
  for (const row of rows) {
    if (summed.rows.has(row)) continue;
    summed.rows.add(row);
    contribution(pool, row)?.forEach((v, k) => { summed.total[k] += v; });
  }
  return summed.total;
}

// The chosen parameter's last contribution and pool, number by number.
function drawMatrices() {
  const pool = POOLS[player.pool];
  matrixPlace.replaceChildren();
  if (!pool) return;
  matrixPlace.append(element("h3", { textContent: `Gradient of ${pool.name}` }));
  const say = (text) => matrixPlace.append(element("p", { className: "hint", textContent: text }));
  const latest = latestRow(pool), rows = poolRows[player.pool].filter((row) => isPooled(pool, row));
  if (latest === null) return say("The pool is empty until the backward pass reaches this parameter.");
  const complete = rows.length === poolRows[player.pool].length, known = pool.full !== null || pool.factors !== null;
  const place = element("div", { className: "matrices" }), last = contribution(pool, latest);
  const label = latest === HEAD.columns.length ? "outside the time steps" : HEAD.columns[latest].label;
  if (last) place.append(matrix(`last contribution, ${label}`, last, pool.shape));
  if (complete) place.append(matrix("the pool, complete", arrayOf(pool.total).data, pool.shape));
  else if (known) place.append(matrix("the pool so far", poolSoFar(pool, rows), pool.shape));
  matrixPlace.append(place);
  if (pool.full === null && known) say("Multiplied here from dz(t) and what the weight reads; the complete pool is the tape's.");
  if (!known) say("The page holds the norms of these contributions and the complete pool: the contributions would be too large.");
  return undefined;
}

// Numbers as squares: their area is the size, a filled one is positive, a hollow one negative.
function matrix(title, numbers, shape) {
  const columns = shape.length > 1 ? shape[shape.length - 1] : numbers.length;
  const rows = Math.max(1, numbers.length / columns);
  const cell = Math.max(3, Math.min(20, Math.floor(300 / columns), Math.floor(260 / rows)));
  const canvas = element("canvas", { width: columns * cell * 2, height: rows * cell * 2 });
  canvas.style.width = `${columns * cell}px`;
  const ink = canvas.getContext("2d"), style = getComputedStyle(document.body);
  let most = 0;
  for (const v of numbers) if (Number.isFinite(v)) most = Math.max(most, Math.abs(v));
  ink.fillStyle = ink.strokeStyle = style.color;
  numbers.forEach((v, k) => {
    const side = Number.isFinite(v) ? (most ? Math.sqrt(Math.abs(v) / most) : 0) * (cell * 2 - 2) : cell * 2 - 2;
    const left = (k % columns) * cell * 2 + cell - side / 2, top = Math.floor(k / columns) * cell * 2 + cell - side / 2;
    if (!Number.isFinite(v)) ink.fillText("×", left, top + side);
    else if (v > 0) ink.fillRect(left, top, side, side);
    else if (side > 4) { ink.lineWidth = 1.5; ink.strokeRect(left + 1, top + 1, side - 2, side - 2); }
    else if (side > 0) { ink.globalAlpha = 0.45; ink.fillRect(left, top, side, side); ink.globalAlpha = 1; }
  });
  const figure = element("figure", {}, element("figcaption", { textContent: `${title}; largest ${short(most)}` }), canvas);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${title}, ${shape.join(" by ")}, filled squares are positive, hollow ones negative`);
  canvas.onpointermove = (event) => {
    const box = canvas.getBoundingClientRect();
    const i = Math.floor((event.clientY - box.top) / box.height * rows), j = Math.floor((event.clientX - box.left) / box.width * columns);
    canvas.title = `[${shape.length > 1 ? `${i}, ${j}` : j}] = ${full(numbers[i * columns + j])}`;
  };
  return figure;
}
logarithmic.onchange = drawPools;
