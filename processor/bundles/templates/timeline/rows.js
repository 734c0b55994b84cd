// The list: only the lines in sight are in the document, however many there are.

const SPARE_PX = 900;  // lines above and below the window that are kept ready
const HEIGHTS = { idle: 30, hidden: 34, day: 34, session: 46, chips: 20 };
const list = byId("list"), narrow = window.matchMedia("(max-width: 860px)");
const drawn = new Map();
const starred = new Set();  // places that somebody marked, where a service knows of any
let tops = [0], total = 0, printing = false, selected = null, expected = 0;

/** Make rows of the entries; only those that are new where nothing before the entry with the index `from` has changed. */
function layOut(from = 0) {
  const { shown, first } = layOutRows(from);
  const told = shown < entries.length ? page("some_lines", { shown, lines: entries.length }) : page("all_lines", { lines: shown });
  byId("count").textContent = expected > entries.length ? `${told} ${page("still_reading", { lines: expected })}` : told;
  list.setAttribute("aria-label", `${page("happened")}, ${counted("lines", shown)}`);
  if (selected && selected.index >= first) selected = rows.find((row, index) => index >= first && row.key === selected.key) ?? rows.find((row) => hasEntry(row, selected.entry)) ?? null;
  place(first);
}
function heightOf(row, usual) {
  if (HEIGHTS[row.type]) return HEIGHTS[row.type];
  if (row.type === "fold") return usual + HEIGHTS.chips;
  if (row.entry.voice === "session") return narrow.matches ? usual : HEIGHTS.session;
  return row.entry.loud.length ? usual + HEIGHTS.chips : usual;
}
function place(first = 0) {
  const usual = parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row"));
  tops.length = first + 1;
  for (let index = first; index < rows.length; index += 1) tops.push(tops[index] + heightOf(rows[index], usual));
  total = tops[rows.length];
  list.style.height = `${total}px`;
  for (const [index, node] of drawn) if (index >= first) { node.remove(); drawn.delete(index); }
  render();
}
/** Lay out what has come; what the reader looks at stays where it is on the screen. */
function layOutBelow(from) {
  const seen = rows[rowAt(byId("sticky").getBoundingClientRect().bottom - list.getBoundingClientRect().top)];
  const before = seen && tops[seen.index];
  layOut(from);
  const at = seen && (rows[seen.index]?.key === seen.key ? seen.index : rows.findIndex((row) => row.key === seen.key));
  if (seen && at >= 0 && tops[at] !== before) window.scrollBy(0, tops[at] - before);
}
function rowAt(y) {
  let low = 0, high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (tops[middle + 1] <= y) low = middle + 1; else high = middle;
  }
  return low;
}
function render() {
  if (printing) return;
  const offset = list.getBoundingClientRect().top;
  const first = rowAt(-offset - SPARE_PX), last = Math.min(rows.length, rowAt(-offset + window.innerHeight + SPARE_PX) + 1);
  for (const [index, node] of drawn) if (index < first || index >= last) { node.remove(); drawn.delete(index); }
  let after = null;
  for (let index = first; index < last; index += 1) {
    let node = drawn.get(index);
    if (!node) {
      node = draw(rows[index]);
      node.style.top = `${tops[index]}px`;
      node.style.height = `${tops[index + 1] - tops[index]}px`;
      if (after) after.after(node); else list.prepend(node);  // In reading order, for those who hear the page.
      drawn.set(index, node);
    }
    after = node;
  }
  mark();
  drawWindow(-offset, window.innerHeight);
}

const between = (row) => (row.type === "day" ? day(row.ms) : row.type === "hidden" ? fill({ phrase: "hidden", values: { lines: row.count } })
  : fill({ phrase: "silence", values: { length: row.to - row.from } }));
function draw(row) {
  const node = element("div", "row");
  node.id = `row-${row.key}`;
  node.setAttribute("role", "option");
  node.setAttribute("aria-posinset", row.index + 1);
  node.dataset.row = row.index;
  const entry = row.entry;
  if (!entry) {
    node.classList.add(row.type);
    const words = element("div", "words");
    words.append(element("span", "", between(row)));
    node.append(words);
    return node;
  }
  const time = element("time", "", clock(entry.ms));
  time.dateTime = new Date(entry.ms).toISOString();
  node.classList.add(entry.voice);
  if ((row.members ?? [entry]).some((each) => starred.has(anchor(each)))) node.classList.add("starred");
  if (!entry.isMessage && !["started", "ended", "paused", "resumed"].includes(entry.kind)) node.classList.add("note");
  if (entry.loud.length) node.classList.add("marked");
  if (entry.voice === "session") {
    const words = element("div", "words");
    words.append(said("span", "", wordsOf(entry)));
    node.append(time, words);
    return node;
  }
  const card = element("div", "card"), chips = element("div", "chips");
  card.append(element("span", "lane-label", who(entry.voice)));
  if (row.type === "fold") {
    node.classList.add("folded", "marked");
    card.append(said("div", "words", foldedWords(row.members)));
    chips.append(element("span", "chip control", page(row.open ? "fold" : "unfold")));
    if (!isRecording(row.members)) chips.append(element("span", "chip", page("until", { time: clock(row.members[row.members.length - 1].ms) })));
  } else {
    card.append(said("div", "words", wordsOf(entry)));
    for (const word of flagsOf(entry)) chips.append(element("span", "chip", word));
  }
  if (chips.childElementCount) card.append(chips);
  node.append(time, element("span", "visually-hidden", `${who(entry.voice)}:`), card);
  return node;
}
function mark() {
  const capture = selected?.type === "entry" && selected.entry.capture;
  let active = "";
  for (const [index, node] of drawn) {
    node.setAttribute("aria-setsize", rows.length);
    const row = rows[index], is = selected !== null && row.key === selected.key;
    node.setAttribute("aria-selected", is ? "true" : "false");
    node.classList.toggle("together", Boolean(capture && !is && row.entry?.capture === capture));
    if (is) active = node.id;
  }
  if (active) list.setAttribute("aria-activedescendant", active); else list.removeAttribute("aria-activedescendant");
}

// --- selecting

function select(index, { reveal = true, open = !narrow.matches, link = true } = {}) {
  if (!rows.length) return;
  selected = rows[Math.max(0, Math.min(rows.length - 1, index))];
  if (reveal) revealRow(selected.index);
  render();
  if (open) showDetails(selected); else if (narrow.matches) details.hidden = true;
  if (link && selected.entry) history.replaceState(null, "", `#${anchor(selected.entry)}`);
}
function revealRow(index) {
  const above = byId("sticky").offsetHeight + 8, below = narrow.matches && !details.hidden ? details.offsetHeight : 12;
  const top = list.getBoundingClientRect().top + tops[index], bottom = top + tops[index + 1] - tops[index];
  if (top < above) window.scrollBy(0, top - above);
  else if (bottom > window.innerHeight - below) window.scrollBy(0, bottom - window.innerHeight + below);
}
function find(entry) {
  const at = () => rows.findIndex((row) => row.type === "entry" && row.entry === entry);
  if (at() >= 0) return at();
  if (!isWanted(entry)) reset();
  const fold = rows.find((row) => row.type === "fold" && row.members.includes(entry));
  if (fold && !fold.open) { filter.unfolded.add(fold.key); layOut(); }
  return at();
}
function goTo(entry, options) {
  const index = find(entry);
  if (index < 0) return;
  window.scrollBy(0, list.getBoundingClientRect().top + tops[index] - window.innerHeight / 2);
  select(index, options);
}
function keepSelection(change) {
  const chosen = selected?.entry;
  change();
  selected = chosen ? rows.find((row) => hasEntry(row, chosen)) ?? null : null;
  mark();
}
function toggleFold(row) {
  if (row.open) filter.unfolded.delete(row.key); else filter.unfolded.add(row.key);
  layOut();
  select(rows.findIndex((other) => other.key === row.key));
}
function activate(row, open) {
  if (row.type === "fold") toggleFold(row);
  else if (row.type === "hidden") { reset(); goTo(row.first, { open }); }
  else open ? showDetails(row) : select(row.index, { reveal: false, open: true });
}
