// The overview: an axis of time on which quiet times are short.

const SVG = "http://www.w3.org/2000/svg";
const BINS = 200;  // columns of the overview
const REDRAWN_MS = 1000, REDRAWN_SHARE = 20;  // at least between two drawings, and how many times as long as one takes
let axis = [], axisLength = 1, windowRect = null, overviewDue = 0, overviewTook = 0;
function svg(tag, attributes, className) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (className) made.setAttribute("class", className);
  return made;
}
function layAxis() {
  const active = [];
  let from = entries[0].ms, to = from;
  for (const entry of entries) {
    if (entry.ms - to > IDLE_MS) { active.push([from, to]); from = entry.ms; }
    to = Math.max(to, entry.ms);
  }
  active.push([from, to]);
  const busy = active.reduce((sum, [a, b]) => sum + b - a, 0), folds = active.length - 1;
  const least = Math.max(busy * 0.6 / active.length, 1000), fold = folds ? Math.max((busy + least * active.length) * Math.min(0.3, folds * 0.03) / folds, 1) : 0;
  axis = [];
  let x = 0;
  for (const [a, b] of active) {
    const width = (b - a) * 0.5 + least;
    axis.push({ from: a, to: b, x, width });
    x += width + fold;
  }
  axisLength = Math.max(1, x - fold);
}
function xOf(ms) {
  let low = 0, high = axis.length - 1;
  while (low < high) { const middle = (low + high + 1) >> 1; if (axis[middle].from <= ms) low = middle; else high = middle - 1; }
  const piece = axis[low], next = axis[low + 1];
  if (ms > piece.to && next) return (piece.x + piece.width + (next.x - piece.x - piece.width) * (ms - piece.to) / (next.from - piece.to)) / axisLength * 1000;
  const length = Math.max(1, piece.to - piece.from);
  return (piece.x + piece.width * Math.min(1, (ms - piece.from) / length)) / axisLength * 1000;
}
/** Draw the overview: at once at first, later now and then, since it looks at every entry. */
function overview() {
  if (!entries.length || overviewDue) return;
  const draw = () => {
    const begun = performance.now();
    drawOverview();
    overviewDue = 0;
    overviewTook = performance.now() - begun;
  };
  if (windowRect) overviewDue = setTimeout(draw, Math.max(REDRAWN_MS, REDRAWN_SHARE * overviewTook)); else draw();
}
function drawOverview() {
  byId("overview").hidden = false;
  layAxis();
  const strip = byId("strip"), drawing = svg("svg", { viewBox: "0 0 1000 98", preserveAspectRatio: "none", "aria-hidden": "true" });
  const lanes = VOICES;
  const bar = Math.max(1000 / BINS, 4000 / (strip.clientWidth || 800));  // At least 4 px, also on a phone.
  lanes.forEach((_, lane) => drawing.append(svg("rect", { x: 0, y: 12 + lane * 26, width: 1000, height: 22, rx: 2 }, "track")));
  for (let i = 0; i + 1 < axis.length; i += 1) {
    const x = (axis[i].x + axis[i].width) / axisLength * 1000, end = axis[i + 1].x / axisLength * 1000;
    drawing.append(svg("rect", { x, y: 10, width: end - x, height: 80 }, "idle"), svg("line", { x1: x, x2: end, y1: 49, y2: 49 }, "idle-line"));
  }
  let pausedFrom = null;
  for (const entry of entries) {
    if (entry.kind === "paused") pausedFrom = xOf(entry.ms);
    else if (pausedFrom !== null && (entry.kind === "resumed" || entry.kind === "ended")) {
      drawing.append(svg("rect", { x: pausedFrom, y: 10, width: Math.max(1, xOf(entry.ms) - pausedFrom), height: 80 }, "paused"));
      pausedFrom = null;
    }
  }
  const bins = lanes.map(() => new Uint32Array(BINS + 1)), events = new Set(), marks = new Set();
  for (const entry of entries) {
    const x = xOf(entry.ms);
    if (entry.voice === "session") { events.add(Math.round(x * 10) / 10); continue; }
    bins[lanes.indexOf(entry.voice)][Math.min(BINS, Math.floor(x / 1000 * BINS))] += 1;
    if (entry.loud.length) marks.add(Math.round(x / 4) * 4);
  }
  lanes.forEach((name, lane) => bins[lane].forEach((count, bin) => {
    if (count) drawing.append(svg("rect", { x: Math.min(1000 - bar, bin * 1000 / BINS), y: 12 + lane * 26, width: bar, height: 22 }, `${name} ${count > 8 ? "l3" : count > 2 ? "l2" : "l1"}`));
  }));
  for (const x of events) drawing.append(svg("line", { x1: x, x2: x, y1: 8, y2: 92 }, "event"));
  for (const x of marks) drawing.append(svg("rect", { x: x - bar / 3, y: 0, width: bar / 1.5, height: 7 }, "mark"));
  windowRect = svg("rect", { x: 0, y: 9, width: 0, height: 82 }, "view");
  drawing.append(windowRect);
  strip.replaceChildren(drawing);
  drawTicks();
}
function drawTicks() {
  const ticks = byId("ticks"), width = ticks.clientWidth || 600;
  ticks.replaceChildren();
  let last = -1e9;
  const end = entries[entries.length - 1].ms;
  for (const piece of axis) {
    const at = piece.x / axisLength * width;
    if (at - last < 58 || at > width - 110) continue;
    const tick = element("span", "", minute(piece.from));
    tick.style.left = `${at / width * 100}%`;
    ticks.append(tick);
    last = at;
  }
  const tick = element("span", "", minute(end));
  tick.style.right = "0";
  ticks.append(tick);
}
function drawWindow(top, height) {
  if (!windowRect || !rows.length) return;
  const msAt = (y, backwards) => {
    for (let i = Math.min(rows.length - 1, rowAt(Math.max(0, Math.min(total - 1, y)))); i >= 0 && i < rows.length; i += backwards ? -1 : 1) if (rows[i].entry) return rows[i].entry.ms;
    return entries[0].ms;
  };
  const x = xOf(msAt(top + byId("sticky").offsetHeight, false)), end = xOf(msAt(top + height, true));
  windowRect.setAttribute("x", Math.min(x, end));
  windowRect.setAttribute("width", Math.max(6, Math.abs(end - x)));
}
byId("strip").addEventListener("click", (event) => {
  const box = byId("strip").getBoundingClientRect(), x = (event.clientX - box.left) / box.width * 1000;
  let best = null, distance = Infinity;
  for (const entry of entries) { const far = Math.abs(xOf(entry.ms) - x); if (far < distance && isWanted(entry)) { best = entry; distance = far; } }
  if (best) goTo(best);
});
