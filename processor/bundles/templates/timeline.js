"use strict";
(() => {
  const IDLE_MS = 120000;      // a silence longer than this is folded to one line
  const FOLD_MIN = 3;          // lines alike from which on they are folded
  const SPARE_PX = 900;        // lines above and below the window that are kept ready
  const BINS = 200;            // columns of the overview
  const HEIGHTS = { idle: 30, day: 34, session: 46, chips: 20 };

  const ACTORS = { user: "User", carer: "Carer", system: "System", session: "Session" };
  const LOUD_EVENTS = new Set(["rejected", "reopened"]);
  const SPINE = new Set(["schema_version", "record_id", "user_id", "timestamp", "session_id", "capture_id", "entry_id"]);
  const TECHNICAL = new Set(["kind", "reason", "revision", "digest", "start_time", "end_time", "command_record_id", "previous_session_id", "event",
    "modality", "source", "performer_id", "raw_features_ref", "model_ref", "encoder_ref", "segment_id", "stream_segment_id", "sequence_id", "frame_index"]);
  const MODULES = {
    __proto__: null, // A module may be called "constructor".
    ui: "the A3CP page", partner_ui: "the partner's page", caregiver: "a microphone near the partner", communicator: "a sensor near the user",
  };

  const byId = (id) => document.getElementById(id);
  // A number that this language cannot hold is shown as its text.
  const exact = (key, value, at) => (typeof value !== "number" || Number.isSafeInteger(value) || Number.isFinite(value) && value % 1 ? value : at?.source ?? String(value));
  const text = byId("data").textContent, data = /\d{16}/.test(text) ? JSON.parse(text, exact) : JSON.parse(text);
  const entries = data.timeline, FLAGS = data.words.flags, REASONS = data.words.reasons;
  const QUIET = new Set(data.words.quiet);  // told in the details only
  const list = byId("list"), details = byId("details"), detailsBody = byId("details-body"), query = byId("query");
  const narrow = window.matchMedia("(max-width: 860px)");
  const state = { lanes: new Set(["user", "carer", "system", "session"]), text: "", notable: false, utc: false, selected: null, unfolded: new Set() };
  let rows = [], tops = new Float64Array(1), total = 0, printing = false;
  const shown = new Map();

  entries.forEach((entry, index) => {
    entry.index = index;
    entry.ms = Date.parse(entry.at);
    entry.loud = entry.notices.filter((word) => !QUIET.has(word));
    if (entry.kind !== "message" && LOUD_EVENTS.has(entry.kind)) entry.loud.push(entry.kind);
  });

  // --- words ---------------------------------------------------------------------------------------------------------

  const SHAPES = {
    clock: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
    minute: { hour: "2-digit", minute: "2-digit" },
    day: { weekday: "long", day: "numeric", month: "long", year: "numeric" },
    date: { year: "numeric", month: "2-digit", day: "2-digit" },
  };
  let formats = {};
  function format(ms, shape) {
    formats[shape] ??= new Intl.DateTimeFormat("en-GB", state.utc ? { ...SHAPES[shape], timeZone: "UTC" } : SHAPES[shape]);
    return formats[shape].format(ms);
  }
  const clock = (ms) => format(ms, "clock");
  const clockShort = (ms) => format(ms, "minute");
  const day = (ms) => format(ms, "day");
  let quarter = NaN, quarterKey = "";  // Neighbours mostly share it, and formatting a date is slow.
  function dayKey(ms) {
    const now = Math.floor(ms / 900000);  // No time zone changes within a quarter of an hour.
    if (now !== quarter) { quarter = now; quarterKey = format(ms, "date"); }
    return quarterKey;
  }

  function span(ms) {
    const minutes = Math.round(ms / 60000);
    if (ms < 1000) return `${Math.round(ms)} ms`;
    if (ms < 59500) return `${Math.round(ms / 1000)} s`;
    if (minutes < 60) return minutes === 1 ? "1 minute" : `${minutes} minutes`;
    const hours = Math.floor(minutes / 60), rest = minutes % 60;
    return `${hours} h` + (rest ? ` ${rest} min` : "");
  }
  function readable(key) {
    const words = String(key).replace(/_/g, " ").replace(/ ms$/, " (ms)");
    return words.charAt(0).toUpperCase() + words.slice(1);
  }
  const moduleWords = (source) => MODULES[source] || String(source).replace(/_/g, " ");
  const noticeWords = (word) => readable(Object.hasOwn(FLAGS, word) ? FLAGS[word][0] : word);

  function element(tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined && text !== null) made.textContent = text;
    return made;
  }

  // --- which lines there are -----------------------------------------------------------------------------------------

  function haystack(entry) {
    entry.hay ??= [entry.words, entry.detail, entry.source, entry.kind, ...entry.loud.map(noticeWords), JSON.stringify(entry.record)].join("\n").toLowerCase();
    return entry.hay;
  }
  function wanted(entry) {
    if (!state.lanes.has(entry.expressed_by)) return false;
    if (state.notable && entry.expressed_by !== "session" && !entry.loud.length) return false;
    return !state.text || state.text.split(/\s+/).every((word) => haystack(entry).includes(word));
  }
  const alike = (entry) => (entry.kind !== "message" || entry.loud.length ? null : `${entry.expressed_by}|${entry.source}|${entry.words.replace(/ \d+$/, "")}`);

  function layOut() {
    const kept = entries.filter(wanted);
    rows = [];
    let before = null, i = 0;
    while (i < kept.length) {
      const entry = kept[i];
      if (before && dayKey(before.ms) !== dayKey(entry.ms)) rows.push({ type: "day", ms: entry.ms, key: `day${entry.index}` });
      if (before && entry.ms - before.ms > IDLE_MS) rows.push({ type: "idle", from: before.ms, to: entry.ms, key: `idle${entry.index}` });
      const kindOf = alike(entry);
      let end = i + 1;
      while (kindOf && end < kept.length && alike(kept[end]) === kindOf && kept[end].ms - kept[end - 1].ms <= IDLE_MS && dayKey(kept[end].ms) === dayKey(entry.ms)) end += 1;
      if (end - i >= FOLD_MIN) {
        const key = `fold${entry.index}`, open = state.unfolded.has(key);
        rows.push({ type: "fold", key, entry, members: kept.slice(i, end), open });
        if (open) for (let j = i; j < end; j += 1) rows.push({ type: "entry", entry: kept[j], key: `e${kept[j].index}`, fold: key });
        before = kept[end - 1];
        i = end;
      } else {
        rows.push({ type: "entry", entry, key: `e${entry.index}` });
        before = entry;
        i += 1;
      }
    }
    rows.forEach((row, index) => { row.index = index; });
    place();
    const hidden = entries.length - kept.length;
    byId("count").textContent = hidden ? `${kept.length.toLocaleString("en")} of ${entries.length.toLocaleString("en")} lines match` : `${entries.length.toLocaleString("en")} lines`;
    list.setAttribute("aria-label", `What happened, oldest first, ${kept.length} lines`);
  }
  function heightOf(row, usual) {
    if (HEIGHTS[row.type]) return HEIGHTS[row.type];
    if (row.type === "fold") return usual;
    if (row.entry.expressed_by === "session") return narrow.matches ? usual : HEIGHTS.session;
    return row.entry.loud.length ? usual + HEIGHTS.chips : usual;
  }
  function place() {
    const rowHeight = parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row"));
    tops = new Float64Array(rows.length + 1);
    rows.forEach((row, index) => { tops[index + 1] = tops[index] + heightOf(row, rowHeight); });
    total = tops[rows.length];
    list.style.height = `${total}px`;
    for (const node of shown.values()) node.remove();
    shown.clear();
    render();
  }

  function rowAt(y) {
    let low = 0, high = rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (tops[middle + 1] <= y) low = middle + 1; else high = middle;
    }
    return low;
  }

  // --- drawing -------------------------------------------------------------------------------------------------------

  function render() {
    if (printing) return;
    const offset = list.getBoundingClientRect().top;
    const first = rowAt(-offset - SPARE_PX), last = Math.min(rows.length, rowAt(-offset + window.innerHeight + SPARE_PX) + 1);
    for (const [index, node] of shown) if (index < first || index >= last) { node.remove(); shown.delete(index); }
    let after = null;
    for (let index = first; index < last; index += 1) {
      let node = shown.get(index);
      if (!node) {
        node = draw(rows[index]);
        node.style.top = `${tops[index]}px`;
        node.style.height = `${tops[index + 1] - tops[index]}px`;
        if (after) after.after(node); else list.prepend(node);  // In reading order, for those who hear the page.
        shown.set(index, node);
      }
      after = node;
    }
    mark();
    drawWindow(-offset, window.innerHeight);
  }

  function draw(row) {
    const node = element("div", "row");
    node.id = `row-${row.key}`;
    node.setAttribute("role", "option");
    node.setAttribute("aria-setsize", rows.length);
    node.setAttribute("aria-posinset", row.index + 1);
    node.dataset.row = row.index;
    if (row.type === "idle" || row.type === "day") {
      node.classList.add(row.type);
      const words = element("div", "words");
      words.append(element("span", "", row.type === "idle" ? `${span(row.to - row.from)} without messages` : day(row.ms)));
      node.append(words);
      return node;
    }
    const entry = row.entry;
    node.classList.add(entry.expressed_by);
    const time = element("time", "", clock(entry.ms));
    time.dateTime = entry.at;
    node.append(time);
    if (entry.expressed_by === "session") {
      if (entry.kind === "note" || entry.kind === "context" || entry.kind === "step" || entry.kind === "status" || entry.kind === "tag") node.classList.add("note");
      if (entry.loud.length) node.classList.add("marked");
      const words = element("div", "words");
      words.append(element("span", "", entry.words + (entry.detail ? `: ${entry.detail}` : "")));
      node.append(words);
      return node;
    }
    const card = element("div", "card");
    card.append(element("span", "lane-label", ACTORS[entry.expressed_by]));
    if (row.type === "fold") {
      node.classList.add("folded");
      const last = row.members[row.members.length - 1];
      card.append(element("div", "words", `${row.members.length} × ${entry.words.replace(/\s*\d+$/, "")}`));
      const chips = element("div", "chips");
      chips.append(element("span", "chip", `${row.open ? "fold" : "unfold"} · until ${clock(last.ms)}`));
      card.append(chips);
      node.classList.add("marked");
    } else {
      card.append(element("div", "words", entry.words + (entry.detail ? `: ${entry.detail}` : "")));
      if (entry.loud.length) {
        node.classList.add("marked");
        const chips = element("div", "chips");
        for (const word of entry.loud) chips.append(element("span", "chip", noticeWords(word)));
        card.append(chips);
      }
    }
    node.append(element("span", "visually-hidden", `${ACTORS[entry.expressed_by]}:`), card);
    return node;
  }

  function mark() {
    const chosen = state.selected, capture = chosen && chosen.type === "entry" ? chosen.entry.record.capture_id : null;
    let active = "";
    for (const [index, node] of shown) {
      const row = rows[index], is = chosen !== null && row.key === chosen.key;
      node.setAttribute("aria-selected", is ? "true" : "false");
      node.classList.toggle("together", Boolean(capture && !is && row.entry && row.entry.record.capture_id === capture));
      if (is) active = node.id;
    }
    if (active) list.setAttribute("aria-activedescendant", active); else list.removeAttribute("aria-activedescendant");
  }

  // --- selecting -----------------------------------------------------------------------------------------------------

  function select(index, { reveal = true, open = !narrow.matches, link = true } = {}) {
    if (!rows.length) return;
    const row = rows[Math.max(0, Math.min(rows.length - 1, index))];
    state.selected = row;
    if (reveal) revealRow(row.index);
    render();
    if (open) showDetails(row); else if (narrow.matches) details.hidden = true;
    if (link && row.entry) history.replaceState(null, "", `#${anchor(row.entry)}`);
  }
  const anchor = (entry) => (entry.kind === "message" ? `seq=${entry.seq}` : `event=${entry.number}`);
  const address = (entry) => new URL(`#${anchor(entry)}`, location.href).href;
  function revealRow(index) {
    const above = byId("sticky").offsetHeight + 8, below = narrow.matches && !details.hidden ? details.offsetHeight : 12;
    const top = list.getBoundingClientRect().top + tops[index], bottom = list.getBoundingClientRect().top + tops[index + 1];
    if (top < above) window.scrollBy(0, top - above);
    else if (bottom > window.innerHeight - below) window.scrollBy(0, bottom - window.innerHeight + below);
  }
  function find(entry) {
    let index = rows.findIndex((row) => row.type === "entry" && row.entry === entry);
    if (index >= 0) return index;
    const fold = rows.find((row) => row.type === "fold" && row.members.includes(entry));
    if (fold) { state.unfolded.add(fold.key); layOut(); }
    else if (!wanted(entry)) { reset(); return find(entry); }
    index = rows.findIndex((row) => row.type === "entry" && row.entry === entry);
    return index;
  }
  function reset() {
    state.text = ""; state.notable = false; query.value = "";
    state.lanes = new Set(["user", "carer", "system", "session"]);
    for (const button of document.querySelectorAll("[data-lane]")) button.setAttribute("aria-pressed", "true");
    byId("notable").setAttribute("aria-pressed", "false");
    layOut();
  }
  function goTo(entry, options) {
    const index = find(entry);
    if (index < 0) return;
    const middle = list.getBoundingClientRect().top + tops[index] - window.innerHeight / 2;
    window.scrollBy(0, middle);
    select(index, options);
  }
  function keepSelection(change) {
    const chosen = state.selected && state.selected.entry;
    change();
    state.selected = chosen ? rows.find((row) => row.entry === chosen) || null : null;
    mark();
  }
  function toggleFold(row) {
    if (row.open) state.unfolded.delete(row.key); else state.unfolded.add(row.key);
    layOut();
    const now = rows.findIndex((other) => other.key === row.key);
    select(now);
  }

  // --- details -------------------------------------------------------------------------------------------------------

  function pair(dl, name, value) {
    if (value === null || value === undefined || value === "") return;
    dl.append(element("dt", "", name), element("dd", "", value));
  }
  function flat(value, path, out, depth = 0) {
    if (out.length > 80) return;
    if (value !== null && typeof value === "object" && depth < 5) {
      const keys = Object.keys(value);
      if (Array.isArray(value) && value.every((item) => item === null || typeof item !== "object")) out.push([path, value.join(", ")]);
      else for (const key of keys) flat(value[key], path ? `${path} › ${readable(key)}` : readable(key), out, depth + 1);
    } else if (value !== null) {
      if (typeof value === "number" && / \(ms\)$/.test(path)) { if (value) out.push([path.slice(0, -5), span(value)]); return; }
      out.push([path, value === true ? "yes" : value === false ? "no" : typeof value === "object" ? JSON.stringify(value) : String(value)]);
    }
  }
  function showDetails(row) {
    details.hidden = false;
    detailsBody.replaceChildren();
    if (row.type === "idle" || row.type === "day") {
      detailsBody.append(element("h2", "", row.type === "idle" ? `${span(row.to - row.from)} without messages` : day(row.ms)));
      if (row.type === "idle") detailsBody.append(element("p", "", `From ${clock(row.from)} to ${clock(row.to)}. Quiet times are folded, so that what happened stays close together.`));
      return;
    }
    const entry = row.entry, record = entry.record;
    if (row.type === "fold") {
      detailsBody.append(element("h2", "", `${row.members.length} lines alike`));
      const button = element("button", "", row.open ? "Fold them again" : "Unfold them");
      button.type = "button";
      button.addEventListener("click", () => toggleFold(row));
      detailsBody.append(element("p", "", `${entry.words}, and so on, from ${clock(entry.ms)} to ${clock(row.members[row.members.length - 1].ms)}.`), button);
      return;
    }
    detailsBody.append(element("h2", "", entry.words));
    const facts = element("dl");
    pair(facts, "When", `${clock(entry.ms)}, ${day(entry.ms)}`);
    const performer = record.performer_id && record.performer_id !== "system" ? ` (${record.performer_id})` : "";
    pair(facts, "Who", entry.expressed_by === "session" ? (performer ? `Carer${performer}` : "The session manager") : ACTORS[entry.expressed_by] + performer);
    if (entry.expressed_by !== "session") pair(facts, "Told by", entry.source ? moduleWords(entry.source) : null);
    pair(facts, "Message", entry.kind === "message" ? `number ${entry.seq} of the session` : null);
    detailsBody.append(facts);
    if (entry.notices.length || entry.loud.length) {
      detailsBody.append(element("h3", "", "Worth knowing"));
      const ul = element("ul");
      for (const word of new Set([...entry.loud, ...entry.notices])) {
        const li = element("li"), told = Object.hasOwn(FLAGS, word) && FLAGS[word];
        const why = word === "nonconforming" ? (entry.reasons || []).map((reason) => REASONS[reason] || readable(reason)).join("; ") : "";
        li.append(element("b", "", noticeWords(word)), document.createTextNode((told && told[1] ? `. ${told[1]}` : "") + (why ? ` Why: ${why}.` : "")));
        ul.append(li);
      }
      detailsBody.append(ul);
    }
    const said = [];
    for (const key of Object.keys(record)) if (!SPINE.has(key) && !TECHNICAL.has(key) && !key.startsWith("session_")) flat(record[key], readable(key), said);
    if (record.session_notes) said.unshift(["Notes", record.session_notes]);
    if (said.length) {
      detailsBody.append(element("h3", "", "What it says"));
      const dl = element("dl");
      for (const [name, value] of said) pair(dl, name, value);
      detailsBody.append(dl);
    }
    if (record.capture_id) {
      const others = entries.filter((other) => other !== entry && other.record.capture_id === record.capture_id && other.record.event !== "capture.frame_meta");
      if (others.length) {
        detailsBody.append(element("h3", "", "Belongs to the same recording"));
        const ul = element("ul");
        for (const other of others.slice(0, 40)) {
          const li = element("li"), a = element("a", "", `${clock(other.ms)} ${other.words}`);
          a.href = address(other);
          li.append(a);
          ul.append(li);
        }
        detailsBody.append(ul);
      }
    }
    const developers = element("details");
    developers.append(element("summary", "", "For developers: the record itself"));
    const dl = element("dl");
    pair(dl, "UTC", entry.at);
    pair(dl, "Recorded", entry.recorded_at);
    for (const key of SPINE) pair(dl, key, record[key]);
    pair(dl, "SHA-256", entry.content_hash);
    developers.append(dl, element("pre", "", JSON.stringify(record, null, 2)));
    developers.lastChild.tabIndex = 0;
    const link = element("a", "", `Link to this line: #${anchor(entry)}`);
    link.href = address(entry);
    detailsBody.append(developers, element("p"));
    detailsBody.lastChild.append(link);
    details.scrollTop = 0;
  }
  function hideDetails() { details.hidden = true; list.focus({ preventScroll: true }); }

  // --- overview: an axis of time on which quiet times are short ------------------------------------------------------

  const SVG = "http://www.w3.org/2000/svg";
  let axis = [], axisLength = 1, windowRect = null;
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
  function drawOverview() {
    if (!entries.length) return;
    byId("overview").hidden = false;
    layAxis();
    const strip = byId("strip"), drawing = svg("svg", { viewBox: "0 0 1000 98", preserveAspectRatio: "none", "aria-hidden": "true" });
    const lanes = ["user", "carer", "system"];
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
    lanes.forEach((name, lane) => {
      const bins = new Uint32Array(BINS + 1);
      for (const entry of entries) if (entry.expressed_by === name) bins[Math.min(BINS, Math.floor(xOf(entry.ms) / 1000 * BINS))] += 1;
      bins.forEach((count, bin) => {
        if (count) drawing.append(svg("rect", { x: Math.min(1000 - bar, bin * 1000 / BINS), y: 12 + lane * 26, width: bar, height: 22 }, `${name} ${count > 8 ? "l3" : count > 2 ? "l2" : "l1"}`));
      });
    });
    const marks = new Set();
    for (const entry of entries) {
      const x = xOf(entry.ms);
      if (entry.expressed_by === "session") drawing.append(svg("line", { x1: x, x2: x, y1: 8, y2: 92 }, "event"));
      else if (entry.loud.length) marks.add(Math.round(x / 4) * 4);
    }
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
    const end = entries.reduce((most, entry) => Math.max(most, entry.ms), 0);
    for (const piece of axis) {
      const at = piece.x / axisLength * width;
      if (at - last < 58 || at > width - 110) continue;
      const tick = element("span", "", clockShort(piece.from));
      tick.style.left = `${at}px`;
      ticks.append(tick);
      last = at;
    }
    const tick = element("span", "", clockShort(end));
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
    for (const entry of entries) { const far = Math.abs(xOf(entry.ms) - x); if (far < distance && wanted(entry)) { best = entry; distance = far; } }
    if (best) goTo(best);
  });

  // --- what the reader does ------------------------------------------------------------------------------------------

  list.addEventListener("click", (event) => {
    const node = event.target.closest(".row");
    if (!node) return;
    list.focus({ preventScroll: true });
    const row = rows[Number(node.dataset.row)];
    if (row.type === "fold") toggleFold(row); else select(row.index, { reveal: false, open: true });
  });
  list.addEventListener("focus", () => { if (!state.selected && rows.length) select(Math.min(rows.length - 1, rowAt(byId("sticky").getBoundingClientRect().bottom - list.getBoundingClientRect().top + 1)), { link: false }); });
  function step(by) {
    const current = state.selected ? rows.findIndex((row) => row.key === state.selected.key) : -1;
    select(current < 0 ? 0 : current + by);
  }
  function stepNotable(by) {
    let index = state.selected ? state.selected.index : -1;
    for (index += by; index >= 0 && index < rows.length; index += by) if (rows[index].type === "entry" && (rows[index].entry.loud.length || rows[index].entry.expressed_by === "session")) { select(index); return; }
  }
  const KEYS = {
    ArrowDown: () => step(1), ArrowUp: () => step(-1), PageDown: () => step(10), PageUp: () => step(-10),
    Home: () => select(0), End: () => select(rows.length - 1), n: () => stepNotable(1), p: () => stepNotable(-1),
    Enter: () => { const row = state.selected; if (row) { if (row.type === "fold") toggleFold(row); else showDetails(row); } },
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
    const typing = event.target === query;
    if (event.key === "Escape") {
      if (narrow.matches && !details.hidden) hideDetails();
      else if (state.text || state.notable || state.lanes.size < 4) keepSelection(reset);
      return;
    }
    if (typing && event.key !== "ArrowDown") return;
    if (event.key === "?") { event.preventDefault(); byId("help").showModal(); return; }
    if (event.key === "/") { event.preventDefault(); query.focus(); return; }
    const inside = event.target === list || event.target === document.body || typing;
    if (inside && Object.hasOwn(KEYS, event.key)) { event.preventDefault(); list.focus({ preventScroll: true }); KEYS[event.key](); }
  });
  let waiting = 0;
  query.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { state.text = query.value.trim().toLowerCase(); keepSelection(layOut); }, 120);
  });
  for (const button of document.querySelectorAll("[data-lane]")) {
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      if (on) state.lanes.add(button.dataset.lane); else state.lanes.delete(button.dataset.lane);
      keepSelection(layOut);
    });
  }
  byId("notable").addEventListener("click", (event) => {
    state.notable = !state.notable;
    event.currentTarget.setAttribute("aria-pressed", String(state.notable));
    keepSelection(layOut);
  });
  byId("utc").addEventListener("click", (event) => {
    state.utc = !state.utc;
    formats = {};
    quarter = NaN;
    event.currentTarget.setAttribute("aria-pressed", String(state.utc));
    keepSelection(layOut);
    tellTimes();
    drawTicks();
    if (state.selected && !details.hidden) showDetails(state.selected);
  });
  byId("help-button").addEventListener("click", () => byId("help").showModal());
  byId("close").addEventListener("click", hideDetails);
  let frame = 0;
  const soon = () => { if (!frame) frame = requestAnimationFrame(() => { frame = 0; render(); }); };
  window.addEventListener("scroll", soon, { passive: true });
  window.addEventListener("resize", () => { place(); drawTicks(); });
  narrow.addEventListener("change", () => { place(); details.hidden = narrow.matches || !state.selected; });
  function follow() {
    const match = /^#(seq|event)=(\d+)$/.exec(location.hash);
    if (!match) return false;
    const wantedNumber = Number(match[2]);
    const entry = entries.find((one) => (match[1] === "seq" ? one.kind === "message" && one.seq === wantedNumber : one.kind !== "message" && one.number === wantedNumber));
    if (entry) goTo(entry, { open: true });
    return Boolean(entry);
  }
  window.addEventListener("hashchange", follow);
  window.addEventListener("beforeprint", () => {
    printing = true;
    list.replaceChildren(...rows.map(draw));
  });
  window.addEventListener("afterprint", () => { printing = false; list.replaceChildren(); shown.clear(); place(); });

  function tellTimes() {
    const first = data.session.start_ms, last = data.session.end_ms ?? data.session.last_ms;
    const zone = state.utc ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone;
    byId("lead").textContent = `${day(first)}, ${clockShort(first)} to ${clockShort(last)}${dayKey(first) === dayKey(last) ? "" : ` on ${day(last)}`} (${zone})`;
  }
  function prepareSearch(from) {  // In the reader's idle moments, so that the first search is quick too.
    window.requestIdleCallback?.((left) => {
      let index = from;
      while (index < entries.length && left.timeRemaining() > 2) haystack(entries[index++]);
      if (index < entries.length) prepareSearch(index);
    });
  }

  if (data.left_out) {
    const told = `This page holds the first ${entries.length.toLocaleString("en")} lines of the session; ${data.left_out.toLocaleString("en")} more stand in the files beside it.`;
    document.querySelector("header.page").append(element("p", "notice", told));
  }
  tellTimes();
  drawOverview();
  layOut();
  if (!follow() && !narrow.matches && rows.length) select(0, { reveal: false, link: false });
  prepareSearch(0);
})();
