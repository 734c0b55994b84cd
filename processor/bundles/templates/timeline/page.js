// What the reader does, and how the page begins.

const query = byId("query");
function reset() {
  search("");
  filter.notable = false;
  filter.voices = new Set(VOICES);
  query.value = "";
  for (const button of document.querySelectorAll("[data-lane]")) button.setAttribute("aria-pressed", "true");
  byId("notable").setAttribute("aria-pressed", "false");
  layOut();
}
list.addEventListener("click", (event) => {
  const node = event.target.closest(".row");
  if (!node) return;
  play(false);
  list.focus({ preventScroll: true });
  activate(rows[Number(node.dataset.row)], false);
});
list.addEventListener("focus", () => {
  if (selected || !rows.length) return;
  select(Math.min(rows.length - 1, rowAt(byId("sticky").getBoundingClientRect().bottom - list.getBoundingClientRect().top + 1)), { link: false });
});
const KEYS = {
  ArrowDown: () => step(1), ArrowUp: () => step(-1), PageDown: () => step(10), PageUp: () => step(-10),
  Home: () => select(0), End: () => select(rows.length - 1), n: () => stepNotable(1), p: () => stepNotable(-1),
  Enter: () => { if (selected) activate(selected, true); },
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = event.target === query;
  if (event.key === "Escape") {
    if (narrow.matches && !details.hidden) hideDetails();
    else if (isFiltered()) keepSelection(reset);
    return;
  }
  if (typing && event.key !== "ArrowDown") return;
  if (event.key === "?") { event.preventDefault(); byId("help").showModal(); return; }
  if (event.key === "/") { event.preventDefault(); query.focus(); return; }
  const inside = event.target === list || event.target === document.body || typing;
  if (inside && event.key === " ") { event.preventDefault(); list.focus({ preventScroll: true }); play(playing === null); return; }
  if (inside && Object.hasOwn(KEYS, event.key)) { event.preventDefault(); play(false); list.focus({ preventScroll: true }); KEYS[event.key](); }
});
let waiting = 0, frame = 0;
query.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => { search(query.value.trim()); keepSelection(layOut); }, 120);
});
function onToggle(button, change) {
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    change(on);
    keepSelection(layOut);
  });
}
for (const button of document.querySelectorAll("[data-lane]")) {
  onToggle(button, (on) => { if (on) filter.voices.add(button.dataset.lane); else filter.voices.delete(button.dataset.lane); });
}
onToggle(byId("notable"), (on) => { filter.notable = on; });
onToggle(byId("utc"), (on) => {
  showUtc(on);
  tellTimes();
  drawTicks();
  if (selected && !details.hidden) showDetails(selected);
});
byId("help-button").addEventListener("click", () => byId("help").showModal());
byId("close").addEventListener("click", hideDetails);
window.addEventListener("scroll", () => { frame ||= requestAnimationFrame(() => { frame = 0; render(); }); }, { passive: true });
window.addEventListener("resize", () => { if (entries.length) { place(); drawTicks(); } });
narrow.addEventListener("change", () => { place(); details.hidden = narrow.matches || !selected; });
window.addEventListener("beforeprint", () => { printing = true; list.replaceChildren(...rows.map(draw)); });
window.addEventListener("afterprint", () => { printing = false; list.replaceChildren(); drawn.clear(); place(); });
window.addEventListener("hashchange", follow);
function follow() {
  const match = /^#(seq|event)=(\d+)$/.exec(location.hash);
  const entry = match && entries.find((one) => one.isMessage === (match[1] === "seq") && one.number === Number(match[2]));
  if (entry) goTo(entry, { open: true });
  return Boolean(entry);
}

let session = null;
function tellTimes() {
  const first = session.start_ms, last = session.end_ms ?? session.last_ms;
  byId("lead").textContent = `${day(first)}, ${minute(first)} – ${minute(last)}${dayKey(first) === dayKey(last) ? "" : `, ${day(last)}`} (${zone()})`;
  byId("footer").textContent = fill({ phrase: "footer", values: { session: session.session_id, zone: zone() } });
}
function tellHead(data) {
  document.title = byId("title").textContent = fill({ phrase: "title", values: { user: session.user_id } });
  const facts = data.proof ? data.facts.filter(([name]) => name !== "proof") : data.facts;  // What the browser computes counts.
  byId("facts").replaceChildren(...facts.map(([name, phrase, values]) => {
    const pair = element("div");
    pair.append(element("dt", "", W.facts[name]), said("dd", "", fill({ phrase, values })));
    return pair;
  }));
  byId("notices").replaceChildren(...data.notices.map(([phrase, values]) => element("p", "notice", fill({ phrase, values }))));
}
/** Show what has come; `isMore`: there is more to come, so nothing is proven yet. */
function show(data, lines, isMore = false) {
  session = data.session;
  expected = data.lines ?? 0;
  const names = data.shapes.map(namesOf), fresh = lines.map((line) => entryOf(line, names));
  const isFirst = entries.length === 0;
  tellHead(data);
  tellTimes();
  prove(session.session_id, isMore ? undefined : data.proof, fresh);
  const from = add(fresh);
  overview();
  if (isFirst) layOut(); else layOutBelow(from);
  return fresh.length;
}
/** Begin again with nothing. */
function clear() {
  entries = [];
  settled = null;
  beginProof();
}
function start(data) {
  quiet = new Set(data.quiet);
  chooseLanguage(data.words);
  translate();
  query.placeholder = page("search_hint");
}
/** Begin at the line that the address names, as soon as it is there; else at the first. */
const linked = location.hash;
let isAtLink = false;
function startAtFirst() {
  isAtLink ||= location.hash === linked && follow();
  if (!isAtLink && !narrow.matches && rows.length && !selected) select(0, { reveal: false, link: false });
}
