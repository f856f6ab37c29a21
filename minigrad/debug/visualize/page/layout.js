// `layOut(graph, widthOf)` asks dagre where the boxes and arrows of a graph lie, and makes ways for arrows of its answer.
// It adds to each box: shown (its title, shortened), x, y, width, height; to each arrow: from and to (the boxes it joins),
// way (points from one to the other) and labelAt. `widthOf(text, font)` measures text.
"use strict";
function layOut(graph, widthOf) {
  const HEIGHT = { leaf: 42, const: 26, op: 42, result: 42 };
  const LONGEST = 56;  // letters of a box's title; the facts show all of them
  const MARGIN = 14;
  const SPREADS = ["UL", undefined, "UR", "DL", "DR"];  // dagre's alignments; a chain leans under most of them
  const FAR = 2;  // a leaf is drawn again above uses that lie more than so many boxes below its first one

  // ---- the boxes to draw

  const boxOf = new Map(graph.boxes.map((box) => [box.key, box]));
  const order = new Map(graph.boxes.map((box, k) => [box.key, k]));
  const uses = new Map(graph.boxes.map((box) => [box.key, []]));    // the arrows that leave a box
  const inputs = new Map(graph.boxes.map((box) => [box.key, []]));  // the arrows that enter it
  for (const arrow of graph.arrows) {
    uses.get(arrow.start).push(arrow);
    inputs.get(arrow.end).push(arrow);
  }
  const upward = (arrow) => arrow.kind === "back" && order.get(arrow.start) >= order.get(arrow.end);

  // Every arrow gets the boxes that it joins, `from` and `to`. A leaf is drawn once for each time step that uses it, and
  // again above uses that lie far below the others.
  const drawn = [...graph.boxes];
  const depth = new Map();
  for (const box of [...graph.boxes].sort((one, other) => one.key - other.key)) {
    const above = inputs.get(box.key).filter((arrow) => !upward(arrow)).map((arrow) => depth.get(arrow.start) ?? 0);
    depth.set(box.key, above.reduce((most, d) => Math.max(most, d + 1), 0));
  }
  for (const arrow of graph.arrows) [arrow.from, arrow.to] = [boxOf.get(arrow.start), boxOf.get(arrow.end)];
  for (const leaf of graph.boxes.filter((box) => box.kind === "leaf")) {
    let [box, first, group] = [leaf, null, null];
    for (const arrow of [...uses.get(leaf.key)].sort((one, other) => depth.get(one.end) - depth.get(other.end))) {
      if (first !== null && (depth.get(arrow.end) > first + FAR || arrow.to.group !== group)) {
        box = { ...leaf, again: drawn.length };
        drawn.push(box);
        first = null;
      }
      first ??= depth.get(arrow.end);
      group = arrow.to.group;
      arrow.from = box;
    }
  }
  const nodeOf = (box) => `${box.key}${box.again ? ` again ${box.again}` : ""}`;

  function shortened(text) {
    const letters = [...text];
    return letters.length <= LONGEST ? text : letters.slice(0, 36).join("") + " … " + letters.slice(-16).join("");
  }

  for (const box of drawn) {
    box.shown = shortened(box.title);
    box.height = HEIGHT[box.kind];
    const title = widthOf(box.shown, box.kind === "const" ? "12px" : "600 14px");
    box.width = Math.max(44, title, widthOf(box.detail, "12px")) + (box.kind === "op" ? 22 : 32);
  }

  // ---- dagre

  function laidOut(align) {
    const g = new dagre.graphlib.Graph({ compound: true, multigraph: true });
    g.setGraph({ nodesep: 26, ranksep: 40, edgesep: 16, marginx: MARGIN, marginy: MARGIN, align });
    graph.groups.forEach((_, k) => g.setNode(`group ${k}`, {}));
    for (const box of drawn) {
      g.setNode(nodeOf(box), { width: box.width, height: box.height });
      if (box.group !== null) g.setParent(nodeOf(box), `group ${box.group}`);
    }
    const weightOf = (arrow) => (arrow.kind === "back" ? 0.1 : arrow.from.kind === "op" ? 4 : 1);  // 0 makes it lose its order
    graph.arrows.forEach((arrow, k) => {
      // An arrow "back" to the next time step points up. dagre is given it upside down, and finds a way beside the others.
      const [v, w] = upward(arrow) ? [arrow.to, arrow.from] : [arrow.from, arrow.to];
      const minlen = arrow.from.kind === "leaf" && arrow.to.group !== null ? 2 : 1;  // leaves stand above a frame
      const label = arrow.label ? { width: widthOf(arrow.label, "12px") + 6, height: 18, labelpos: "r", labeloffset: 5 } : {};
      g.setEdge(nodeOf(v), nodeOf(w), { ...label, weight: weightOf(arrow), minlen }, `${k}`);
    });
    dagre.layout(g);
    const edges = new Map(g.edges().map((e) => [Number(e.name), g.edge(e)]));
    // How far arrows run to the side: what the eye has to follow.
    const run = (points) => points.slice(1).reduce((sum, p, k) => sum + Math.abs(p.x - points[k].x), 0);
    const lean = graph.arrows.reduce((sum, arrow, k) => sum + weightOf(arrow) * run(edges.get(k).points), 0);
    return { g, edges, lean };
  }

  function best() {
    const tries = drawn.length < 60 ? 5 : drawn.length < 200 ? 2 : 1;
    return SPREADS.slice(0, tries).map(laidOut).reduce((one, other) => (other.lean < one.lean ? other : one));
  }

  // ---- the ways of arrows

  // Where an arrow meets a box: at the flat part of its upper or lower side, or at its left or right one.
  const flat = (box) => box.width / 2 - (box.kind === "leaf" ? box.height / 2 : 12);
  const meets = (box, towards, below) => ({
    x: Math.max(box.x - flat(box), Math.min(box.x + flat(box), towards.x)),
    y: box.y + (below ? box.height / 2 : -box.height / 2),
  });
  // An arrow on its way up meets a box at its side, unless another box lies between.
  function sideOrEnd(box, towards, below) {
    const sign = Math.sign(towards.x - box.x);
    const side = { x: box.x + sign * (box.width / 2), y: box.y };
    const between = (b) => b !== box && Math.abs(b.y - box.y) < (b.height + box.height) / 2
      && (b.x - side.x) * sign > 0 && (towards.x - b.x) * sign > -b.width / 2;
    return (towards.x - side.x) * sign > 4 && !drawn.some(between) ? side : meets(box, towards, below);
  }

  function wayOf(arrow, edge) {
    const { from, to } = arrow;
    if (from === to) return edge.points;
    const inner = edge.points.slice(1, -1);
    if (!inner.length) inner.push({ x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 });
    if (!upward(arrow)) return [meets(from, inner[0], true), ...inner, meets(to, inner.at(-1), false)];
    inner.reverse();
    return [sideOrEnd(from, inner[0], false), ...inner, sideOrEnd(to, inner.at(-1), true)];
  }

  // Arrows that enter a box from above in the same place are moved apart, as far as its upper side is flat.
  function moveApart(box, ways) {
    const ends = ways.map((way) => way.at(-1)).sort((one, other) => one.x - other.x);
    const gap = Math.min(13, (2 * flat(box)) / Math.max(1, ends.length - 1));
    ends.forEach((end, k) => { if (k) end.x = Math.max(end.x, ends[k - 1].x + gap); });
    let most = box.x + flat(box);
    for (const end of ends.reverse()) {
      end.x = Math.min(end.x, most);
      most = end.x - gap;
    }
  }

  // A label stands to the right of its arrow, which is smoother than dagre thinks; on a rather flat one a bit above or
  // below, on the side where the arrow is not.
  function labelAt(way, text, { x, y }) {
    const points = pointsOn(way, 3);
    const k = points.reduce((best, p, i) => (Math.abs(p.y - y) < Math.abs(points[best].y - y) ? i : best), 0);
    const [one, other] = [points[Math.max(0, k - 1)], points[Math.min(points.length - 1, k + 1)]];
    const [run, rise] = [other.x - one.x, other.y - one.y];
    const aside = Math.abs(run) > Math.abs(rise) ? -9 * Math.sign(run * rise) : 0;
    return { x: Math.min(x, points[k].x + 7 + widthOf(text, "12px") / 2), y: y + 4 + aside };
  }

  const { g, edges } = best();
  for (const box of drawn) Object.assign(box, { x: g.node(nodeOf(box)).x, y: g.node(nodeOf(box)).y });
  graph.arrows.forEach((arrow, k) => { arrow.way = wayOf(arrow, edges.get(k)); });
  for (const box of drawn) moveApart(box, inputs.get(box.key).filter((a) => !upward(a)).map((a) => a.way));
  graph.arrows.forEach((arrow, k) => { arrow.labelAt = arrow.label && labelAt(arrow.way, arrow.label, edges.get(k)); });
  const frames = graph.groups.map((label, k) => {
    const { x, y, width, height } = g.node(`group ${k}`);
    const half = Math.max(width, widthOf(label, "italic 13px") + 24) / 2;
    return { label, left: x - half, right: x + half, top: y - height / 2, bottom: y + height / 2 };
  });
  return { drawn, uses, inputs, frames };
}
