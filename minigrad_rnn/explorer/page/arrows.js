// arrows.js draws the connections between the steps, and where a gradient has come back along them.

// One path from point to point; `bow` bends it to the right (or upward, if it runs along time).
function path(parts, from, to, bow, kind, state, label) {
  const [x1, y1] = from, [x2, y2] = to;
  let d = `M${x1} ${y1} L${x2} ${y2}`;
  if (bow) {
    d = Math.abs(x2 - x1) < 2 || bow.sideways
      ? `M${x1} ${y1} C${x1 + bow.by} ${y1 - 14} ${x2 + bow.by} ${y2 + 14} ${x2} ${y2}`
      : `M${x1} ${y1} C${x1 + bow.by} ${y1 - bow.up} ${x2 - bow.by} ${y2 - bow.up} ${x2} ${y2}`;
  }
  const ends = state === "back" ? `marker-start="url(#tipback)"` : `marker-end="url(#tip${state})"`;
  parts.push(`<path class="arrow ${kind} ${state}" d="${d}" ${ends}><title>${escaped(label)}</title></path>`);
}

function drawArrow(parts, labels, arrow, x, y) {
  const source = laneNumber.get(arrow.source), target = laneNumber.get(arrow.target);
  if (arrow.kind === "attention") {
    const others = HEAD.arrows.filter((other) => other.kind === "attention").map((other) => laneNumber.get(other.source));
    const topmost = others.every((lane) => LANES[lane].level <= LANES[source].level); // the memory is all of them together
    if (topmost) drawAttention(parts, labels, arrow, source, target, x, y);
    return;
  }
  const offset = arrow.carries === "c" ? -9 : 9;
  for (const column of rank[target].keys()) {
    if (arrow.only && arrow.only[1] !== column) continue;
    const before = arrow.only ? arrow.only[0] : column - arrow.lag;
    if (!rank[source].has(before)) {
      if (arrow.source === arrow.target && x.has(column) && isFirstColumn(target, column)) drawStart(parts, arrow, target, column, x, y, offset);
      continue;
    }
    if (!x.has(column) && !x.has(before)) continue;
    let state = isForward(target, column) ? "done" : "";
    if (isBackward(target, column) && arrow.kind !== "cut") state = "back";
    const label = `${stepName(source, before)} → ${stepName(target, column)}` +
      (arrow.weight ? ` through ${arrow.weight}` : "") + (arrow.kind === "cut" ? ": no gradient crosses" : "");
    drawOne(parts, arrow, source, target, before, column, x, y, offset, state, label);
    const chosen = player.chosen ?? current();
    if (arrow.weight && chosen && chosen.lane === target && chosen.column === column && x.has(before) && x.has(column)) {
      labels.push(weightLabel(arrow, source, target, before, column, x, y));
    }
  }
}

function drawOne(parts, arrow, source, target, before, column, x, y, offset, state, label) {
  const ys = y(source), yt = y(target);
  if (before === column) { // upward
    const between = LANES[target].level - LANES[source].level - 1;
    const middle = x.get(column) + WIDE / 2;
    if (between <= 0) return path(parts, [middle, ys], [middle, yt + HIGH], null, arrow.kind, state, label);
    const right = x.get(column) + WIDE - 8;
    return path(parts, [right, ys], [right, yt + HIGH], { by: 24 + 5 * between, sideways: true }, arrow.kind, state, label);
  }
  const way = Math.sign(column - before);
  const edge = (c, side) => x.get(c) + (side * way > 0 ? WIDE : 0);
  if (!x.has(before) || !x.has(column)) { // one end is folded away
    const seen = x.has(before) ? before : column, height = (x.has(before) ? ys : yt) + HIGH / 2 + offset;
    const [from, to] = x.has(before) ? [edge(seen, 1), edge(seen, 1) + 20 * way] : [edge(seen, -1) - 20 * way, edge(seen, -1)];
    return path(parts, [from, height], [to, height], null, arrow.kind, state, label);
  }
  if (source === target && Math.abs(arrow.lag) > 1) { // over the steps between
    const up = 14 + 7 * Math.abs(arrow.lag);
    return path(parts, [x.get(before) + WIDE / 2 + 8, ys], [x.get(column) + WIDE / 2 - 8, yt],
      { by: 20 * way, up }, arrow.kind, state, label);
  }
  if (source === target) {
    path(parts, [edge(before, 1), ys + HIGH / 2 + offset], [edge(column, -1), yt + HIGH / 2 + offset], null, arrow.kind, state, label);
    if (arrow.kind === "cut") {
      const middle = (edge(before, 1) + edge(column, -1)) / 2;
      parts.push(`<text class="cut-mark" text-anchor="middle" x="${middle}" y="${ys + HIGH / 2 + offset + 5}">✂</text>`);
    }
    return undefined;
  }
  const rise = ys > yt ? 0 : HIGH;
  return path(parts, [edge(before, 1), ys + HIGH / 2], [x.get(column) + WIDE / 2 - 12 * way, yt + (ys > yt ? HIGH : 0)],
    { by: 26 * way, up: rise ? -10 : 10 }, arrow.kind, state, label);
}

// The name of a weight beside the arrow into the step that is looked at.
function weightLabel(arrow, source, target, before, column, x, y) {
  const name = arrow.weight.split("<-").length > 1 ? arrow.weight.split("<-")[1] : arrow.weight.split(".").pop();
  let left = (x.get(before) + x.get(column)) / 2 + WIDE / 2, middle = (y(source) + y(target)) / 2 + HIGH / 2 + 4;
  if (before === column) left += Math.abs(LANES[target].level - LANES[source].level) > 1 ? 40 : 13;
  else if (source === target) middle -= Math.abs(arrow.lag) > 1 ? 22 + 5 * Math.abs(arrow.lag) + HIGH / 2 : -18;
  return `<text class="on-arrow" text-anchor="middle" x="${left}" y="${middle}">${escaped(brief(name, 10))}</text>`;
}

// Whether a lane's first step stands in this column.
function isFirstColumn(lane, column) {
  return rank[lane].get(column) === Math.min(...rank[lane].values());
}

// The state before the first step: a small circle beside it.
function drawStart(parts, arrow, lane, column, x, y, offset) {
  const back = arrow.lag < 0, middle = y(lane) + HIGH / 2 + offset;
  const edge = x.get(column) + (back ? WIDE : 0), far = edge + (back ? 19 : -19);
  const state = isForward(lane, column) ? "done" : "";
  parts.push(`<circle class="arrow ${state}" cx="${far}" cy="${middle}" r="4"><title>the state before the first step</title></circle>`);
  path(parts, [far + (back ? -4 : 4), middle], [edge, middle], null, arrow.kind, isBackward(lane, column) && arrow.kind !== "cut" ? "back" : state,
    "from the state before the first step");
}

// Attention: the lines of one reading step only, as thick as its weights.
function drawAttention(parts, labels, arrow, source, target, x, y) {
  const chosen = player.chosen ?? current();
  let column = chosen && rank[target].has(chosen.column) ? chosen.column : null;
  if (column === null) {
    const done = [...rank[target].keys()].filter((c) => isForward(target, c));
    if (!done.length) return;
    column = Math.max(...done);
  }
  if (!x.has(column) || !isForward(target, column)) return;
  const alpha = attentionAt(target, column);
  const state = isBackward(target, column) ? "back" : "done";
  [...rank[source].keys()].sort((a, b) => a - b).forEach((s, k) => {
    if (!x.has(s)) return;
    const left = x.get(s) + WIDE / 2, top = y(source), end = y(target) + HIGH / 2;
    parts.push(`<path class="arrow attention ${state}" style="stroke-width: ${(0.5 + 6 * alpha[k]).toFixed(2)}" `,
      `d="M${left} ${top} C${left} ${top - 40} ${left + 30} ${top - 44} ${left + 70} ${top - 44} `,
      `S${x.get(column) - 70} ${end} ${x.get(column)} ${end}"><title>weight ${short(alpha[k])}</title></path>`);
    labels.push(`<text class="on-arrow" text-anchor="middle" x="${left}" y="${top - 8}">${short(Number(alpha[k].toPrecision(2)))}</text>`);
  });
}

// The weights α with which the step in this column reads each step of the memory.
function attentionAt(lane, column) {
  return numbersAt(LANES[lane].quantities.find((quantity) => quantity.name === "α"), column, "values");
}
