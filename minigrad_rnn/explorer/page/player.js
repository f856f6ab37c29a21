// player.js steps through the two passes: buttons, keys, the slider, and what they redraw.
const byId = (id) => document.getElementById(id);
const END = 2 * COUNT;
let timer = null, peeked = null;

function sentence() {
  const now = current();
  if (now === null) return `Before the first step. ${COUNT} steps forward, then ${COUNT} back.`;
  const name = stepName(now.lane, now.column), lane = LANES[now.lane].name;
  const k = now.backward ? player.frame - COUNT : player.frame;
  const pass = now.backward ? "Backward" : "Forward";
  return `${pass}, step ${k} of ${COUNT}: ${now.backward ? "d" : ""}${name}, ${lane} at ${HEAD.columns[now.column].label}`;
}

function shownStep() {
  return peeked ?? player.chosen ?? current();
}

function show(frame) {
  player.frame = Math.max(0, Math.min(END, frame));
  const now = current();
  if (now) focusColumn = now.column;
  byId("frame").value = player.frame;
  byId("status").textContent = sentence();
  drawNet();
  drawDetails(shownStep());
  drawPools();
  if (player.frame === END) pause();
}

// On or back by a whole time step: to the next frame that stands in another column.
function wholeStep(way) {
  const start = current()?.column;
  let frame = player.frame + way;
  while (frame > 0 && frame < END && current(frame)?.column === start) frame += way;
  show(frame);
}

function pause() {
  clearInterval(timer);
  timer = null;
  byId("play").textContent = "Play";
}

function toggle() {
  if (timer !== null) return pause();
  if (player.frame === END) show(0);
  byId("play").textContent = "Pause";
  timer = setInterval(() => show(player.frame + 1), Number(byId("speed").value));
  return undefined;
}

function parse(text) {
  const [lane, column] = text.split(",").map(Number);
  return { lane, column };
}

// A click keeps a step in the details; another click on it lets it go.
function choose(text) {
  const step = parse(text), old = player.chosen;
  player.chosen = old && old.lane === step.lane && old.column === step.column ? null : step;
  drawNet();
  drawDetails(shownStep());
}

function peek(text) {
  const step = text === null ? null : parse(text);
  if (step?.lane === peeked?.lane && step?.column === peeked?.column) return;
  peeked = step;
  drawDetails(shownStep());
}

const KEYS = {
  ArrowRight: () => show(player.frame + 1), ArrowLeft: () => show(player.frame - 1),
  PageDown: () => wholeStep(1), PageUp: () => wholeStep(-1),
  Home: () => show(0), End: () => show(END), " ": toggle, t: () => show(COUNT), T: () => show(COUNT),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const tag = event.target.tagName;
  if (tag === "SELECT" || (tag === "INPUT" && event.target.type === "range")) return;
  const step = event.target.closest?.("[data-step]");
  if (step && event.key === "Enter") return choose(step.dataset.step);
  if (event.key === " " && (tag === "BUTTON" || tag === "INPUT")) return undefined;
  if (event.key in KEYS) {
    event.preventDefault();
    if (event.key !== " ") pause();
    KEYS[event.key]();
  }
  return undefined;
});

function start() {
  byId("title").textContent = `${HEAD.title}: BPTT step by step`;
  byId("model").textContent = HEAD.model;
  const value = arrayOf(HEAD.loss.value).data[0];
  byId("facts").textContent = `${HEAD.columns.length} time ${HEAD.columns.length > 1 ? "steps" : "step"}, ${HEAD.batch} ${HEAD.batch > 1 ? "examples" : "example"}, ` +
    `${HEAD.dtype}; ${HEAD.loss.name} = ${short(value)}`;
  byId("facts").dataset.value = full(value);
  byId("cut-legend").hidden = !HEAD.arrows.some((arrow) => arrow.kind === "cut");
  for (const note of HEAD.notes) byId("notes").append(element("li", { textContent: note }));
  byId("frame").max = END;
  const actions = { first: 0, last: END, turn: COUNT };
  for (const [id, frame] of Object.entries(actions)) byId(id).onclick = () => { pause(); show(frame); };
  byId("back").onclick = () => { pause(); show(player.frame - 1); };
  byId("next").onclick = () => { pause(); show(player.frame + 1); };
  byId("play").onclick = toggle;
  byId("frame").oninput = () => { pause(); show(Number(byId("frame").value)); };
  byId("speed").onchange = () => { if (timer !== null) { pause(); toggle(); } };
  if (HEAD.batch > 1) {
    byId("example-choice").hidden = false;
    for (let b = 0; b < HEAD.batch; b++) byId("example").append(element("option", { value: b, textContent: b }));
    byId("example").onchange = () => { player.example = Number(byId("example").value); show(player.frame); };
  }
  makePools();
  makeHeat();
  const asked = new URLSearchParams(location.hash.slice(1)).get("step"); // …#step=7 opens the page there
  show(asked === null ? 0 : Number(asked) || 0);
  drawHeat();
  let width = netPlace.clientWidth;
  new ResizeObserver(() => {
    if (netPlace.clientWidth !== width) { width = netPlace.clientWidth; drawNet(); drawHeat(); }
  }).observe(netPlace);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { drawHeat(); drawPools(); });
  document.documentElement.dataset.ready = "yes";
}
start();
