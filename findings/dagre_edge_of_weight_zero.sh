#!/usr/bin/env bash
# dagre lays a graph out with few crossings, unless a node's only edge has weight 0: the mean position of its neighbours
# is then 0/0, and the whole layer stays in disorder. Here every top node has one edge to a bottom node, and every second
# one another to a node of its own. It can be drawn without a crossing, and is, if the second edges weigh 1 or 0.1.
# Seen with @dagrejs/dagre 3.1.3 and @dagrejs/graphlib 4.0.6, which are pinned below. Exits 0 while this is seen, else 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --save-exact "@dagrejs/dagre@3.1.3" "@dagrejs/graphlib@4.0.6" >/dev/null
cat > crossings.cjs <<'JAVASCRIPT'
const dagre = require("@dagrejs/dagre");

function crossings(weight, n) {
  const g = new dagre.graphlib.Graph().setGraph({}).setDefaultEdgeLabel(() => ({}));
  const box = { width: 20, height: 20 };
  for (let i = 0; i < n; i++) g.setNode(`top ${i}`, { ...box });
  for (let i = 0; i < n; i++) g.setNode(`bottom ${i}`, { ...box });
  for (let i = 0; i < n; i++) g.setEdge(`top ${i}`, `bottom ${(i * 3 + 1) % n}`, { weight: 1 });
  for (let i = 0; i < n; i += 2) {
    g.setNode(`extra ${i}`, { ...box });
    g.setEdge(`top ${i}`, `extra ${i}`, { weight });
  }
  dagre.layout(g);
  const ends = g.edges().map((e) => [g.node(e.v).x, g.node(e.w).x]);
  let count = 0;
  for (const [a, b] of ends) for (const [c, d] of ends) if (a < c && b > d) count++;
  return count;
}

console.log("@dagrejs/dagre", require("@dagrejs/dagre/package.json").version, "node", process.version);
const found = {};
for (const weight of [1, 0.1, 0]) {
  found[weight] = [5, 7, 8].map((n) => crossings(weight, n));
  console.log(`weight ${weight}: crossings with 5, 7, 8 pairs: ${found[weight].join(", ")}`);
}
const sum = (a) => a.reduce((x, y) => x + y, 0);
const seen = sum(found[1]) === 0 && sum(found[0.1]) === 0 && found[0].every((n) => n > 0);
console.log(seen ? "an edge of weight 0 brings crossings" : "no longer seen");
process.exit(seen ? 0 : 1);
JAVASCRIPT
node crossings.cjs
