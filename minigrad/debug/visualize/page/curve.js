// `smooth(way)` and `pointsOn(way, step)`: an arrow as a curve near the points of its way.
// The curve is a uniform cubic B-spline that begins and ends as a line.
"use strict";
const padded = (way) => [way[0], ...way, way.at(-1)];
const along = (a, b, u) => ({ x: a.x + (b.x - a.x) * u, y: a.y + (b.y - a.y) * u });
const knot = (p, k) => along(along(p[k - 1], p[k + 1], 0.5), p[k], 2 / 3);

function smooth(way) {
  const p = padded(way);
  const text = ({ x, y }) => `${x.toFixed(1)},${y.toFixed(1)}`;
  let path = `M${text(p[0])} L${text(knot(p, 1))}`;
  for (let k = 1; k + 2 < p.length; k++) {
    path += ` C${text(along(p[k], p[k + 1], 1 / 3))} ${text(along(p[k], p[k + 1], 2 / 3))} ${text(knot(p, k + 1))}`;
  }
  return `${path} L${text(p.at(-1))}`;
}

// Points of that curve, some pixels from each other.
function pointsOn(way, step) {
  const p = padded(way);
  const points = [p[0]];
  for (let k = 1; k + 2 < p.length; k++) {
    const steps = Math.ceil(Math.hypot(p[k + 1].x - p[k].x, p[k + 1].y - p[k].y) / step) + 1;
    for (let i = 0; i < steps; i++) {
      const u = i / steps;  // de Casteljau's construction
      const [a, b, c, d] = [knot(p, k), along(p[k], p[k + 1], 1 / 3), along(p[k], p[k + 1], 2 / 3), knot(p, k + 1)];
      const [ab, bc, cd] = [along(a, b, u), along(b, c, u), along(c, d, u)];
      points.push(along(along(ab, bc, u), along(bc, cd, u), u));
    }
  }
  return [...points, p.at(-1)];
}
