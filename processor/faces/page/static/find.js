// Finding a session: all of them, newest first, and fewer by words and filters, each of which stands in the address.

import { announce, given, make, named } from "/static/elements.js";
import { addressOf, askedOf, form, parametersOf } from "/static/filters.js";
import { ask, follow } from "/static/http.js";
import { dayOf, flagWord, isTelling, problemOf, say, stateWord, timeOf } from "/static/words.js";

const PAGE = 50, PAGE_MAX = 200;
const FIELDS = "session_id,user_id,start_time,status,completeness,phase,flags,tags,note_count,duration_ms,message_count";

/** Show the list that the address asks for, and keep it current. */
export async function showFind({ main, address, signal }) {
  const asked = askedOf(address);
  const list = make("ol", { class: "sessions", "aria-label": say("find.list") });
  const count = make("p", { class: "soft", role: "status" }), more = make("div", { class: "more" });
  const fresh = make("div", { class: "fresh" }), person = make("p", { class: "soft control" }), lost = make("p", { class: "wrong", role: "alert" });
  main.append(make("h1", {}, say("find.title")), form(asked, reload), count, lost, person, fresh, list, more);
  main.addEventListener("keydown", move, { signal });
  addEventListener("keydown", (event) => toSearch(event, main), { signal });
  addEventListener("pagehide", () => history.replaceState({ shown: shown.size, top: scrollY }, ""), { signal });

  let shown = new Map(), news = new Set(), newest = "", lastDay = null, cursor = null, following = new AbortController();

  async function reload() {
    history.replaceState(null, "", addressOf(asked));
    await begin().catch(refuse);
  }

  /** Show the first page, and what happens from then on. */
  async function begin() {
    following.abort();
    following = new AbortController();
    const here = AbortSignal.any([signal, following.signal]);
    const page = await ask("/v1/sessions", { parameters: { ...parametersOf(asked), limit: PAGE, fields: FIELDS }, signal: here });
    shown = new Map();
    news = new Set();
    newest = page.sessions[0]?.start_time ?? "";
    lastDay = null;
    list.replaceChildren();
    fresh.replaceChildren();
    count.textContent = told(page);
    add(page, here);
    person.replaceChildren(...(asked.user_id && shown.size ? [make("a", { href: `/?${new URLSearchParams({ user: asked.user_id })}` }, say("served.person"))] : []));
    if (!shown.size) list.append(make("li", { class: "empty" }, say(addressOf(asked) === "/" ? "find.nothing_yet" : "find.none")));
    const { q, bookmarked, ...filters } = parametersOf(asked);  // Both are looked up, and so not followed.
    const onRefused = (error) => { if (error.status === 401) location.reload(); else refuse(error); };
    follow("/v1/live", { parameters: { ...filters, after: page.position }, signal: here, onEvent: happened, onRefused, onLine: tellLine });
    return here;
  }

  /** Add a page to the list; returns its first row. */
  function add(page, here) {
    const rows = page.sessions.map((session) => {
      const day = dayOf(session.start_time), row = rowOf(session, asked.q);
      if (day !== lastDay) list.append(make("li", { class: "day" }, make("h2", {}, day)));
      lastDay = day;
      shown.set(session.session_id, row);
      list.append(row);
      return row;
    });
    const older = () => next(here).then((first) => first?.querySelector("a").focus()).catch(refuse);
    cursor = page.next_cursor;
    more.replaceChildren(...(cursor ? [make("button", { type: "button", click: older }, say("find.more"))] : []));
    return rows[0];
  }

  async function next(here, limit = PAGE) {
    const page = await ask("/v1/sessions", { parameters: { ...parametersOf(asked), limit, cursor, fields: FIELDS }, signal: here });
    return add(page, here);
  }

  /** Show again what was there before a session was opened from it. */
  async function comeBack({ shown: wanted, top }, here) {
    while (cursor && shown.size < wanted) await next(here, Math.min(wanted - shown.size, PAGE_MAX));
    scrollTo(0, top);
  }

  function refuse(error) {
    if (error.name === "AbortError") return;
    count.textContent = problemOf(error);
  }

  /** Say whether the service answers: else nobody would know that what is shown may be old. */
  function tellLine(isThere) {
    lost.textContent = isThere ? "" : lost.textContent || say("served.lost", { time: Date.now() });
  }

  function happened(name, told) {
    // Without a start, the store did not tell what it is now. Without an event, it changed while the line was lost.
    if (name === "session" && told.start_time) seen(told, told.event ? told.event.kind === "started" : told.start_time > newest);
    else if (name === "reset") told.sessions.forEach((session) => seen(session, true));
  }

  function seen(session, isNew) {
    const row = shown.get(session.session_id);
    if (row) {
      const renewed = rowOf(session, asked.q);
      const focused = row.contains(document.activeElement);
      row.replaceWith(renewed);
      shown.set(session.session_id, renewed);
      if (focused) renewed.querySelector("a").focus();
    } else if (!asked.q && !asked.bookmarked && isNew && !news.has(session.session_id)) {  // Nothing moves under the reader's eyes.
      news.add(session.session_id);
      const text = say("find.new", { count: news.size });
      fresh.replaceChildren(make("button", { type: "button", click: reload }, text));
      announce(text);
    }
  }

  const before = history.state;
  const here = await begin().catch(refuse);
  if (here && before?.shown) await comeBack(before, here).catch(refuse);
}

function told(page) {
  const total = page.total === undefined ? say("find.latest") : say("find.count", { count: page.total });
  const since = page.complete_since === null ? "" : say("find.complete_since", { day: dayOf(page.complete_since) });
  return [total, since].filter(Boolean).join(" ");
}

function rowOf(session, words) {
  const href = `/?${new URLSearchParams({ session: session.session_id, ...(words ? { find: words } : {}) })}`;
  const open = session.status !== "closed";
  const chips = [
    ...(open ? [make("span", { class: `chip ${session.status}` }, stateWord(session.status))] : []),
    ...(session.completeness === "partial" ? [make("span", { class: "chip odd" }, stateWord("partial"))] : []),
    ...(session.phase ? [make("span", { class: "chip" }, session.phase.replaceAll("_", " "))] : []),
    ...session.flags.filter(isTelling).map((flag) => make("span", { class: "chip odd" }, flagWord(flag))),
    ...session.tags.map((tag) => given(tag, { class: "chip tag" })),
    ...(session.note_count ? [make("span", { class: "chip note" }, say("find.notes", { count: session.note_count }))] : []),
  ];
  return make("li", {}, make("a", { href, class: "session" },
    make("span", { class: session.status === "active" ? "dot live" : "dot", "aria-hidden": "true" }),
    make("time", { datetime: session.start_time }, timeOf(session.start_time)),
    named(session.user_id, { class: "name" }),
    make("span", { class: "facts" }, say("find.facts", { length: session.duration_ms, messages: session.message_count })),
    make("span", { class: "chips" }, chips)));
}

/** The arrow keys go from session to session. */
function move(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || event.target.matches("input, select")) return;
  const links = [...document.querySelectorAll("a.session")], at = links.indexOf(document.activeElement);
  const next = links[Math.max(at + step, 0)];
  if (next) {
    event.preventDefault();
    next.focus();
  }
}

function toSearch(event, main) {
  if (event.key !== "/" || event.target.matches?.("input, textarea, select")) return;
  event.preventDefault();
  main.querySelector("input[type=search]")?.focus();
}
