// Shows the graph of a result: dagre says where boxes and arrows lie; this draws them and answers pointer and keys.
// The data is what graph_page.py writes: {about, boxes, arrows, groups}; a box's key is its identity.
"use strict";
(() => {
  const graph = JSON.parse(document.getElementById("graph").textContent);
  const svg = document.getElementById("drawing");
  const view = document.getElementById("view");
  const facts = document.getElementById("facts");
  const HEIGHT = { leaf: 42, const: 26, op: 42, result: 42 };
  const LONGEST = 56;  // letters of a box's title; the facts show all of them
  const MARGIN = 14;
  const SPREADS = [undefined, "UL", "UR", "DL", "DR"];  // dagre's alignments; a chain leans under all but one of them
  const MANY = 400;  // from so many boxes on, two alignments are tried instead of five
  const FAR = 2;  // a leaf is drawn again above uses that lie more than so many boxes below its first one
  const boxOf = new Map(graph.boxes.map((box) => [box.key, box]));
  const order = new Map(graph.boxes.map((box, k) => [box.key, k]));
  const elementsOf = new Map(graph.boxes.map((box) => [box.key, []]));
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

  // ---- sizes and layout

  const pen = document.createElement("canvas").getContext("2d");
  const family = getComputedStyle(document.body).fontFamily;
  function widthOf(text, font) {
    pen.font = `${font} ${family}`;
    return Math.ceil(pen.measureText(text).width);
  }

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
    const spreads = drawn.length < MANY ? SPREADS : SPREADS.slice(0, 2);
    return spreads.map(laidOut).reduce((one, other) => (other.lean < one.lean ? other : one));
  }

  // ---- drawing

  function add(parent, name, attributes, text) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  }

  function outline(parent, box, x, y) {
    const [w, h] = [box.width, box.height];
    const rect = { x: x - w / 2, y: y - h / 2, width: w, height: h };
    if (box.kind === "const") {
      const d = 11;
      const corners = [[-w / 2 + d, -h / 2], [w / 2 - d, -h / 2], [w / 2, 0], [w / 2 - d, h / 2], [-w / 2 + d, h / 2], [-w / 2, 0]];
      add(parent, "polygon", { class: "outline", points: corners.map(([a, b]) => `${x + a},${y + b}`).join(" ") });
    } else {
      add(parent, "rect", { class: "outline", rx: box.kind === "leaf" ? h / 2 : 6, ...rect });
    }
    if (box.kind === "result") {  // a second line inside: the result is known without its colour
      add(parent, "rect", { class: "inner", rx: 4, x: rect.x + 3.5, y: rect.y + 3.5, width: w - 7, height: h - 7 });
    }
  }

  function drawBox(box) {
    const { x, y } = box;
    const kind = box.again ? "box leaf again" : `box ${box.kind}`;
    const g = add(svg, "g", { class: kind, role: "img", tabindex: -1, "data-key": box.key });
    const words = box.facts.map(([name, value]) => `${name} ${value}`).join(", ");
    g.setAttribute("aria-label", box.title + (words ? `: ${words}` : ""));
    outline(g, box, x, y);
    add(g, "text", { class: "title", x, y: box.detail ? y - 3 : y + 4.5 }, box.shown);
    if (box.detail) add(g, "text", { class: "detail", x, y: y + 13 }, box.detail);
    elementsOf.get(box.key).push(g);
  }

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

  // A smooth path near the points between its ends: a uniform cubic B-spline, which begins and ends as a line.
  function smooth(points) {
    const p = [points[0], ...points, points.at(-1)];
    const text = (x, y) => `${x.toFixed(1)},${y.toFixed(1)}`;
    const mix = (a, b, u) => text(a.x + (b.x - a.x) * u, a.y + (b.y - a.y) * u);
    const knot = (k) => text((p[k - 1].x + 4 * p[k].x + p[k + 1].x) / 6, (p[k - 1].y + 4 * p[k].y + p[k + 1].y) / 6);
    let path = `M${text(p[0].x, p[0].y)} L${knot(1)}`;
    for (let k = 1; k + 2 < p.length; k++) path += ` C${mix(p[k], p[k + 1], 1 / 3)} ${mix(p[k], p[k + 1], 2 / 3)} ${knot(k + 1)}`;
    return `${path} L${text(p.at(-1).x, p.at(-1).y)}`;
  }

  function pointsOn(path, step) {
    const length = path.getTotalLength();
    return Array.from({ length: Math.ceil(length / step) + 1 }, (_, k) => path.getPointAtLength(k * step));
  }

  // A label stands to the right of its arrow, which is smoother than dagre thinks; or above it, where it is rather flat.
  function labelAt(path, text, { x, y }) {
    const points = pointsOn(path, 3);
    const k = points.reduce((best, p, i) => (Math.abs(p.y - y) < Math.abs(points[best].y - y) ? i : best), 0);
    const [one, other] = [points[Math.max(0, k - 1)], points[Math.min(points.length - 1, k + 1)]];
    const [run, rise] = [Math.abs(other.x - one.x), Math.abs(other.y - one.y)];
    const half = widthOf(text, "12px") / 2;
    if (run > rise) return { x: points[k].x, y: points[k].y - 6 - half * (rise / run) };
    return { x: Math.min(x, points[k].x + 7 + half), y: y + 4 };
  }

  function drawArrow(arrow, way, label) {
    const kind = arrow.kind === "back" ? "arrow back" : "arrow";
    const g = add(svg, "g", { class: kind, "data-start": arrow.start, "data-end": arrow.end });
    const head = arrow.kind === "back" ? "url(#head-back)" : "url(#head)";
    const path = add(g, "path", { d: smooth(way), "marker-end": head });
    if (arrow.label) add(g, "text", { class: "label", ...labelAt(path, arrow.label, label) }, arrow.label);
    arrow.element = g;
  }

  function drawFrame(label, { x, y, width, height }) {
    const wide = Math.max(width, widthOf(label, "italic 13px") + 24);
    add(svg, "rect", { class: "frame", x: x - wide / 2, y: y - height / 2, width: wide, height, rx: 12 });
    return { label, left: x - wide / 2, right: x + wide / 2, top: y - height / 2, bottom: y + height / 2 };
  }

  // The label of a frame stands in the corner that fewest arrows pass through.
  function labelFrames(frames) {
    const passed = [...svg.querySelectorAll(".arrow path")].flatMap((path) => pointsOn(path, 6));
    for (const { label, left, right, top, bottom } of frames) {
      const w = widthOf(label, "italic 13px") + 8;
      const corners = [[left + 6, top + 4], [right - w - 6, top + 4], [left + 6, bottom - 24], [right - w - 6, bottom - 24]];
      const covers = ([x, y]) => drawn.filter((b) => b.x + b.width / 2 > x && b.x - b.width / 2 < x + w
        && b.y + b.height / 2 > y && b.y - b.height / 2 < y + 20).length * 100
        + passed.filter((p) => p.x > x - 3 && p.x < x + w + 3 && p.y > y - 2 && p.y < y + 20).length;
      const [x, y] = corners.reduce((one, other) => (covers(other) < covers(one) ? other : one));
      add(svg, "text", { class: "frame-label", x: x + 4, y: y + 14 }, label);
    }
  }

  let size = { width: 0, height: 0 };
  function draw() {
    const { g, edges } = best();
    for (const box of drawn) Object.assign(box, { x: g.node(nodeOf(box)).x, y: g.node(nodeOf(box)).y });
    const frames = graph.groups.map((label, k) => drawFrame(label, g.node(`group ${k}`)));
    const ways = new Map(graph.arrows.map((arrow, k) => [arrow, wayOf(arrow, edges.get(k))]));
    for (const box of drawn) moveApart(box, inputs.get(box.key).filter((a) => !upward(a)).map((a) => ways.get(a)));
    graph.arrows.forEach((arrow, k) => drawArrow(arrow, ways.get(arrow), edges.get(k)));
    for (const box of drawn) drawBox(box);
    labelFrames(frames);
    const seen = svg.getBBox();  // what lies beside dagre's area, such as a long label of a frame, is shown too
    const [left, top] = [Math.min(0, seen.x - MARGIN), Math.min(0, seen.y - MARGIN)];
    size = {
      width: Math.max(g.graph().width, seen.x + seen.width + MARGIN) - left,
      height: Math.max(g.graph().height, seen.y + seen.height + MARGIN) - top,
    };
    svg.setAttribute("viewBox", `${left} ${top} ${size.width} ${size.height}`);
  }

  // ---- zoom and pan: the drawing is scrolled, so wheel, touch and keys of the browser move it

  let scale = 1;
  function zoom(wanted, point) {
    const next = Math.max(0.05, Math.min(4, wanted));
    const at = point ?? { x: view.clientWidth / 2, y: view.clientHeight / 2 };
    const [x, y] = [(view.scrollLeft + at.x) / scale, (view.scrollTop + at.y) / scale];
    scale = next;
    svg.style.width = `${size.width * scale}px`;
    svg.style.height = `${size.height * scale}px`;
    view.scrollLeft = x * scale - at.x;
    view.scrollTop = y * scale - at.y;
    document.getElementById("scale").textContent = `${Math.round(scale * 100)} %`;
  }

  // The whole drawing, but no smaller than can be read.
  function fit(smallest) {
    const whole = Math.min(1, view.clientWidth / size.width, view.clientHeight / size.height);
    zoom(Math.max(whole, smallest));
  }

  view.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;  // the plain wheel scrolls
    event.preventDefault();
    const { left, top } = view.getBoundingClientRect();
    zoom(scale * Math.exp(-event.deltaY / 300), { x: event.clientX - left, y: event.clientY - top });
  }, { passive: false });

  let drag = null;
  view.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button === 0) drag = event;
  });
  window.addEventListener("pointermove", (event) => {
    if (!drag) return;
    view.scrollBy(drag.clientX - event.clientX, drag.clientY - event.clientY);
    drag = event;
  });
  for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, () => { drag = null; });

  // ---- what is known about a box

  const name = (key) => boxOf.get(key).shown;
  const list = (keys) => [...new Set(keys)].map(name).join(", ");

  function show(box) {
    const rows = [...box.facts];
    if (inputs.get(box.key).length) rows.push(["inputs", list(inputs.get(box.key).map((a) => a.start))]);
    if (uses.get(box.key).length) rows.push(["used by", list(uses.get(box.key).map((a) => a.end))]);
    const table = document.createElement("dl");
    for (const [term, value] of rows) {
      const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
      [dt.textContent, dd.textContent] = [term, value];
      table.append(dt, dd);
    }
    const head = document.createElement("h2");
    head.textContent = box.title;
    facts.replaceChildren(head, table);
  }

  let chosen = null;
  function highlight(box) {
    for (const element of svg.querySelectorAll(".near, .chosen")) element.classList.remove("near", "chosen");
    for (const element of elementsOf.get(box.key)) element.classList.add("chosen");
    for (const arrow of [...inputs.get(box.key), ...uses.get(box.key)]) {
      arrow.element.classList.add("near");
      for (const element of elementsOf.get(arrow.start === box.key ? arrow.end : arrow.start)) element.classList.add("near");
    }
    show(box);
  }

  function choose(box, element = elementsOf.get(box.key)[0]) {
    for (const other of svg.querySelectorAll('[tabindex="0"]')) other.setAttribute("tabindex", -1);
    element.setAttribute("tabindex", 0);  // one box takes part in tabbing; arrow keys reach the others
    chosen = box;
    return element;
  }

  const boxAt = (target) => boxOf.get(Number(target.closest?.(".box")?.dataset.key ?? NaN));
  svg.addEventListener("pointerover", (event) => highlight(boxAt(event.target) ?? chosen));
  svg.addEventListener("pointerleave", () => highlight(chosen));
  svg.addEventListener("click", (event) => event.target.closest?.(".box")?.focus());
  svg.addEventListener("focusin", (event) => {
    const box = boxAt(event.target);
    if (!box) return;
    choose(box, event.target);
    highlight(box);
    event.target.scrollIntoView({ block: "nearest", inline: "nearest" });
  });

  // ---- keyboard

  const nearest = (box, boxes) => boxes.reduce((one, other) =>
    (!one || Math.hypot(other.x - box.x, other.y - box.y) < Math.hypot(one.x - box.x, one.y - box.y) ? other : one), null);
  const beside = (box, sign) => nearest(box, graph.boxes.filter((b) =>
    (b.x - box.x) * sign > 1 && Math.abs(b.y - box.y) < (b.height + box.height) / 2));
  const moves = {
    ArrowUp: (box) => nearest(box, inputs.get(box.key).map((a) => boxOf.get(a.start)).filter((b) => b.y < box.y)),
    ArrowDown: (box) => nearest(box, uses.get(box.key).map((a) => boxOf.get(a.end)).filter((b) => b.y > box.y)),
    ArrowLeft: (box) => beside(box, -1),
    ArrowRight: (box) => beside(box, 1),
    Home: () => graph.boxes[0],
    End: () => graph.boxes.find((b) => b.kind === "result") ?? graph.boxes.at(-1),
  };
  const zooms = { "+": () => zoom(scale * 1.25), "=": () => zoom(scale * 1.25), "-": () => zoom(scale / 1.25), 0: () => fit(0) };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const box = boxAt(event.target);
    if (zooms[event.key]) {
      zooms[event.key]();
    } else if (box && moves[event.key]) {
      const next = moves[event.key](box);
      if (next) choose(next).focus();
    } else {
      return;
    }
    event.preventDefault();
  });
  document.getElementById("smaller").addEventListener("click", zooms["-"]);
  document.getElementById("larger").addEventListener("click", zooms["+"]);
  document.getElementById("fit").addEventListener("click", zooms[0]);

  try {
    draw();
    show(choose(moves.End()) && chosen);
    // In a notebook the page stands in a frame, which takes the height that the drawing needs, up to a limit.
    if (window.frameElement) window.frameElement.style.height = `${Math.min(720, size.height + 150)}px`;
    fit(0.85);  // the smallest letters are then 10 pixels high
    view.scrollTo((view.scrollWidth - view.clientWidth) / 2, 0);
    document.body.dataset.ready = "yes";
  } catch (error) {
    facts.textContent = `The graph could not be laid out (${error.message}). Draw it as "svg" or "dot" instead.`;
    throw error;
  }
})();
