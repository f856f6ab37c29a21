// Shows the graph of a result: draws what layout.js placed, and answers pointer and keys.
// The data is what graph_page.py writes: {boxes, arrows, groups}; a box's key is its identity.
"use strict";
(() => {
  const graph = JSON.parse(document.getElementById("graph").textContent);
  const svg = document.getElementById("drawing");
  const view = document.getElementById("view");
  const facts = document.getElementById("facts");
  const boxOf = new Map(graph.boxes.map((box) => [box.key, box]));
  const elementsOf = new Map(graph.boxes.map((box) => [box.key, []]));

  const pen = document.createElement("canvas").getContext("2d");
  const family = getComputedStyle(document.body).fontFamily;
  function widthOf(text, font) {
    pen.font = `${font} ${family}`;
    return Math.ceil(pen.measureText(text).width);
  }

  // ---- drawing

  function add(parent, name, attributes, text) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  }

  function outline(parent, box) {
    const { x, y, width: w, height: h } = box;
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
    outline(g, box);
    add(g, "text", { class: "title", x, y: box.detail ? y - 3 : y + 4.5 }, box.shown);
    if (box.detail) add(g, "text", { class: "detail", x, y: y + 13 }, box.detail);
    elementsOf.get(box.key).push(g);
  }

  function drawArrow(arrow) {
    const kind = arrow.kind === "back" ? "arrow back" : "arrow";
    const g = add(svg, "g", { class: kind, "data-start": arrow.start, "data-end": arrow.end });
    const head = arrow.kind === "back" ? "url(#head-back)" : "url(#head)";
    add(g, "path", { d: smooth(arrow.way), "marker-end": head });
    if (arrow.label) add(g, "text", { class: "label", ...arrow.labelAt }, arrow.label);
    arrow.element = g;
  }

  function drawFrame({ left, right, top, bottom }) {
    add(svg, "rect", { class: "frame", x: left, y: top, width: right - left, height: bottom - top, rx: 12 });
  }

  // The label of a frame stands in the corner that fewest arrows pass through.
  function labelFrames(frames, drawn) {
    const points = graph.arrows.flatMap((arrow) => pointsOn(arrow.way, 8));
    for (const { label, left, right, top, bottom } of frames) {
      const w = widthOf(label, "italic 13px") + 8;
      const inside = (x, y, rimX, rimY) => x > left - rimX && x < right + rimX && y > top - rimY && y < bottom + rimY;
      const passed = points.filter((p) => inside(p.x, p.y, 0, 0));
      const boxes = drawn.filter((b) => inside(b.x, b.y, b.width / 2, b.height / 2));
      const corners = [[left + 6, top + 4], [right - w - 6, top + 4], [left + 6, bottom - 24], [right - w - 6, bottom - 24]];
      const covered = ([x, y]) => passed.filter((p) => p.x > x - 3 && p.x < x + w + 3 && p.y > y - 2 && p.y < y + 20).length
        + boxes.filter((b) => b.x + b.width / 2 > x && b.x - b.width / 2 < x + w
          && b.y + b.height / 2 > y && b.y - b.height / 2 < y + 20).length * 100;
      const [x, y] = corners.reduce((one, other) => (covered(other) < covered(one) ? other : one));
      add(svg, "text", { class: "frame-label", x: x + 4, y: y + 14 }, label);
    }
  }

  let size = { width: 0, height: 0 };
  let [uses, inputs] = [null, null];
  function draw() {
    const placed = layOut(graph, widthOf);
    ({ uses, inputs } = placed);
    placed.frames.forEach(drawFrame);
    graph.arrows.forEach(drawArrow);
    placed.drawn.forEach(drawBox);
    labelFrames(placed.frames, placed.drawn);
    const { x, y, width, height } = svg.getBBox();
    size = { width: width + 28, height: height + 28 };
    svg.setAttribute("viewBox", `${x - 14} ${y - 14} ${size.width} ${size.height}`);
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

  function start() {
    try {
      draw();
    } catch (error) {
      facts.textContent = `The graph could not be laid out (${error.message}). Draw it as "svg" or "dot" instead.`;
      throw error;
    }
    show(choose(moves.End()) && chosen);
    // In a notebook the page stands in a frame, which takes the height that the drawing needs, up to a limit.
    if (window.frameElement) window.frameElement.style.height = `${Math.min(720, size.height + 150)}px`;
    fit(0.85);  // the smallest letters are then 10 pixels high
    view.scrollTo((view.scrollWidth - view.clientWidth) / 2, 0);
    document.body.dataset.ready = "yes";
  }

  if (graph.boxes.length < 150) {
    start();
  } else {  // seconds, in which the page says what it does
    facts.textContent = `Laying out ${graph.boxes.length} boxes …`;
    setTimeout(start, 50);
  }
})();
