// heat_map.js shows what the loss at t contributes through a parameter's use k steps before.
const heatPlace = document.getElementById("heat"), heatCanvas = document.getElementById("heat-canvas");
const heatChoice = document.getElementById("heat-choice"), heatText = document.getElementById("heat-text");
const HEAT_TOP = 8;
const heat = { row: 0, bin: 0, cells: [], lags: [], per: 1, wide: 16, high: 16 };

// The lags that occur: positive ones point to the past.
function makeHeat() {
  POOLS.forEach((pool, k) => heatChoice.append(element("option", { value: k, textContent: pool.name })));
  const start = POOLS.findIndex((pool) => pool.name.endsWith("Wr") || pool.name.includes("[t-1]"));
  if (start >= 0) heatChoice.value = start;
  player.pool = Math.max(0, start);
  heatChoice.onchange = drawHeat;
}

function drawHeat() {
  const pool = POOLS[heatChoice.value];
  if (!pool) return;
  const lags = arrayOf(pool.lags).data, C = HEAD.columns.length, losses = HEAD.lossColumns;
  let least = 0, most = 0;
  losses.forEach((t, row) => {
    for (let c = 0; c < C; c++) if (lags[row * (C + 1) + c] !== 0) { least = Math.min(least, t - c); most = Math.max(most, t - c); }
  });
  const count = most - least + 1, room = Math.max(220, heatPlace.clientWidth - 62);
  heat.per = Math.max(1, Math.ceil(count / Math.floor(room / 4)));
  const bins = Math.ceil(count / heat.per);
  heat.wide = Math.max(4, Math.min(32, Math.floor(room / bins)));
  heat.high = Math.max(4, Math.min(32, Math.floor(420 / losses.length)));
  heat.lags = Array.from({ length: bins }, (_, k) => least + k * heat.per);
  heat.cells = losses.map((t, row) => heat.lags.map((lag) => {
    let v = null;
    for (let k = lag; k < lag + heat.per; k++) {
      const c = t - k;
      if (c >= 0 && c < C) { const w = lags[row * (C + 1) + c]; v = v === null || Number.isNaN(w) ? w : Math.max(v, w); }
    }
    return v;
  }));
  paintHeat();
}

function paintHeat() {
  const { cells, wide, high } = heat, left = 50, foot = 30, ratio = 2;
  const width = left + cells[0].length * wide + 6, height = HEAT_TOP + cells.length * high + foot;
  Object.assign(heatCanvas, { width: width * ratio, height: height * ratio });
  Object.assign(heatCanvas.style, { width: `${width}px`, height: `${height}px` });
  const ink = heatCanvas.getContext("2d");
  const style = getComputedStyle(document.documentElement), color = (name) => style.getPropertyValue(name).trim();
  ink.scale(ratio, ratio);
  let top = 0, low = Infinity;
  for (const row of cells) for (const v of row) if (v > 0 && Number.isFinite(v)) { top = Math.max(top, v); low = Math.min(low, v); }
  const depth = Math.min(12, Math.max(1, Math.log10(top / low) || 1));
  ink.font = "11px system-ui, sans-serif";
  cells.forEach((row, r) => row.forEach((v, k) => {
    if (v === null) return;
    const x = left + k * wide, y = HEAT_TOP + r * high;
    ink.strokeStyle = color("--line");
    ink.lineWidth = 0.5;
    if (high > 7 && wide > 7) ink.strokeRect(x, y, wide, high);
    if (Number.isNaN(v)) { ink.fillStyle = color("--ink"); ink.fillText("×", x + wide / 2 - 3, y + high / 2 + 4); return; }
    const share = v > 0 ? Math.max(0, 1 + Math.log10(v / top) / depth * 0.92) : 0;
    const side = high > 7 && wide > 7 ? Math.sqrt(share) : 1;
    ink.globalAlpha = 0.12 + 0.88 * share;
    ink.fillStyle = share ? color("--backward") : "transparent";
    ink.fillRect(x + wide * (1 - side) / 2, y + high * (1 - side) / 2, wide * side, high * side);
    ink.globalAlpha = 1;
  }));
  ink.fillStyle = color("--soft");
  const every = Math.ceil(15 / high);
  cells.forEach((_, r) => { if (r % every === 0) ink.fillText(`t=${time(HEAD.lossColumns[r])}`, 2, HEAT_TOP + r * high + Math.min(high / 2 + 4, 13)); });
  const step = Math.ceil(30 / wide);
  heat.lags.forEach((lag, k) => { if (k % step === 0) ink.fillText(String(lag).replace("-", "−"), left + k * wide + 1, HEAT_TOP + cells.length * high + 13); });
  ink.fillText("lag k", left, HEAT_TOP + cells.length * high + 27);
  ink.strokeStyle = color("--focus");
  ink.lineWidth = 2;
  heat.row = Math.min(heat.row, cells.length - 1);
  heat.bin = Math.min(heat.bin, cells[0].length - 1);
  ink.strokeRect(left + heat.bin * wide, HEAT_TOP + heat.row * high, wide, high);
  tellHeat();
}

function tellHeat() {
  const v = heat.cells[heat.row][heat.bin], lag = heat.lags[heat.bin], t = HEAD.columns[HEAD.lossColumns[heat.row]].label;
  const span = heat.per > 1 ? `lags ${lag} to ${lag + heat.per - 1}, the largest` : `lag ${lag}`;
  heatText.textContent = `Loss at ${t}, ${span.replace("-", "−")}: ` + (v === null ? "no step there" : `‖contribution‖ = ${short(v)}`);
  heatText.dataset.value = v === null ? "" : full(v);
}

function moveHeat(down, right) {
  heat.row = Math.max(0, Math.min(heat.cells.length - 1, heat.row + down));
  heat.bin = Math.max(0, Math.min(heat.lags.length - 1, heat.bin + right));
  paintHeat();
}

heatPlace.addEventListener("keydown", (event) => {
  const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  if (event.key in moves) {
    moveHeat(...moves[event.key]);
    event.preventDefault();
    event.stopPropagation();
  }
});
for (const kind of ["pointermove", "click"]) {
  heatCanvas.addEventListener(kind, (event) => {
    const box = heatCanvas.getBoundingClientRect();
    const bin = Math.floor((event.clientX - box.left - 50) / heat.wide), row = Math.floor((event.clientY - box.top - HEAT_TOP) / heat.high);
    if (row >= 0 && row < heat.cells.length && bin >= 0 && bin < heat.lags.length && (row !== heat.row || bin !== heat.bin)) {
      moveHeat(row - heat.row, bin - heat.bin);
    }
  });
}
