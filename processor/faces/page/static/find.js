// Finding a session: all of them, newest first, and fewer by words and filters, each of which stands in the address.

import { announce, given, make } from "/static/elements.js";
import { ask, follow } from "/static/http.js";
import { dayOf, flagWord, say, stateWord, timeOf } from "/static/words.js";

const PAGE = 50;
const TYPING_MS = 250;  // after the last key, before it is searched
const STATUSES = ["open", "closed", "partial"];
const FLAGS = ["late", "duplicate", "clock_skew", "while_paused", "nonconforming", "requires_attention", "no_consent", "withheld"];
const FILTERS = ["q", "user_id", "since", "until", "status", "flag", "tag", "template", "min_duration_s", "has_notes"];

/** Show the list that the address asks for, and keep it current. */
export async function showFind({ main, address, signal }) {
  const asked = Object.fromEntries(FILTERS.map((name) => [name, address.get(name) ?? ""]));
  for (const name of ["since", "until"]) if (Number.isNaN(Date.parse(asked[name]))) asked[name] = "";
  const list = make("ol", { class: "sessions", "aria-label": say("find.list") });
  const count = make("p", { class: "soft", role: "status" }), more = make("div", { class: "more" });
  const fresh = make("div", { class: "fresh" }), person = make("p", { class: "soft" });
  main.append(make("h1", {}, say("find.title")), form(asked, reload), count, person, fresh, list, more);
  main.addEventListener("keydown", move, { signal });
  addEventListener("keydown", (event) => toSearch(event, main), { signal });

  let shown = new Map(), news = new Set(), lastDay = null, serial = 0;

  async function reload() {
    const address = new URLSearchParams(Object.entries(asked).filter(([, value]) => value));
    history.replaceState(null, "", address.size ? `/?${address}` : "/");
    await load(null);
  }

  async function load(cursor) {
    const mine = ++serial;
    const page = await ask("/v1/sessions", { parameters: { ...parameters(asked), limit: PAGE, cursor }, signal });
    if (mine !== serial) return;  // Another key was pressed meanwhile.
    if (cursor === null) {
      shown = new Map();
      news = new Set();
      lastDay = null;
      list.replaceChildren();
      fresh.replaceChildren();
      count.textContent = told(page);
      person.replaceChildren(...(asked.user_id && page.sessions.length ? [make("a", { href: `/?${new URLSearchParams({ user: asked.user_id })}` }, say("served.person"))] : []));
    }
    for (const session of page.sessions) {
      const day = dayOf(session.start_time);
      if (day !== lastDay) list.append(make("li", { class: "day" }, make("h2", {}, day)));
      lastDay = day;
      const row = rowOf(session, asked.q);
      shown.set(session.session_id, row);
      list.append(row);
    }
    if (!shown.size) list.append(make("li", { class: "empty" }, say(address.size ? "find.none" : "find.nothing_yet")));
    more.replaceChildren(...(page.next_cursor ? [make("button", { type: "button", click: () => load(page.next_cursor) }, say("find.more"))] : []));
  }

  function happened(name, session) {
    if (name !== "session") return;
    const row = shown.get(session.session_id);
    if (row) {
      const renewed = rowOf(session, asked.q);
      const focused = row.contains(document.activeElement);
      row.replaceWith(renewed);
      shown.set(session.session_id, renewed);
      if (focused) renewed.querySelector("a").focus();
    } else if (!asked.q && session.event?.kind === "started") {  // Nothing moves under the reader's eyes.
      news.add(session.session_id);
      const text = say("find.new", { count: news.size });
      fresh.replaceChildren(make("button", { type: "button", click: reload }, text));
      announce(text);
    }
  }

  await load(null);
  const { q, ...filters } = parameters(asked);
  follow("/v1/live", { parameters: filters, signal, onEvent: happened });
}

function told(page) {
  const total = page.total === undefined ? "" : say("find.count", { count: page.total });
  const since = page.complete_since === null ? "" : say("find.complete_since", { day: dayOf(page.complete_since) });
  return [total, since].filter(Boolean).join(" ");
}

/** What is asked, as the service's query has it: `until` is the last day that counts. */
function parameters(asked) {
  const next = (day) => new Date(Date.parse(`${day}T00:00:00`) + 86_400_000).toISOString();
  return {
    ...asked,
    since: asked.since && new Date(`${asked.since}T00:00:00`).toISOString(),
    until: asked.until && next(asked.until),
    min_duration_s: asked.min_duration_s && Number(asked.min_duration_s) * 60,
  };
}

function form(asked, changed) {
  let timer;
  const set = (name, wait) => (event) => {
    asked[name] = event.target.type === "checkbox" ? (event.target.checked ? "true" : "") : event.target.value;
    clearTimeout(timer);
    timer = setTimeout(changed, wait);
  };
  const field = (name, attributes) => label(name, make("input", { name, value: asked[name], input: set(name, TYPING_MS), autocomplete: "off", spellcheck: "false", ...attributes }));
  const choice = (name, values, wordOf) => label(name, make("select", { name, change: set(name, 0) },
    make("option", { value: "" }, say("find.any")),
    values.map((each) => make("option", { value: each, selected: asked[name] === each }, wordOf(each)))));
  const search = make("input", { type: "search", name: "q", value: asked.q, input: set("q", TYPING_MS), placeholder: say("find.search_hint"), "aria-label": say("find.search"), autocomplete: "off", maxlength: 512 });
  const used = FILTERS.some((name) => name !== "q" && asked[name]);
  return make("form", { class: "find", role: "search", submit: (event) => event.preventDefault() }, search,
    make("details", { open: used }, make("summary", {}, say("find.filters")),
      make("div", { class: "fields" },
        field("user_id"), field("since", { type: "date" }), field("until", { type: "date" }),
        choice("status", STATUSES, stateWord), choice("flag", FLAGS, flagWord), field("tag"), field("template"),
        field("min_duration_s", { type: "number", min: 0 }),
        label("has_notes", make("input", { type: "checkbox", checked: asked.has_notes === "true", change: set("has_notes", 0) })),
        make("a", { class: "clear", href: "/" }, say("find.clear")))));
}

const label = (name, field) => make("label", {}, make("span", {}, say(`find.${name}`)), field);

function rowOf(session, words) {
  const href = `/?${new URLSearchParams({ session: session.session_id, ...(words ? { find: words } : {}) })}`;
  const open = session.status !== "closed";
  const chips = [
    ...(open ? [make("span", { class: `chip ${session.status}` }, stateWord(session.status))] : []),
    ...(session.completeness === "partial" ? [make("span", { class: "chip odd" }, stateWord("partial"))] : []),
    ...(session.phase ? [make("span", { class: "chip" }, session.phase.replaceAll("_", " "))] : []),
    ...session.flags.map((flag) => make("span", { class: "chip odd" }, flagWord(flag))),
    ...session.tags.map((tag) => given(tag, { class: "chip tag" })),
    ...(session.note_count ? [make("span", { class: "chip note" }, say("find.notes", { count: session.note_count }))] : []),
  ];
  return make("li", {}, make("a", { href, class: "session" },
    make("span", { class: session.status === "active" ? "dot live" : "dot", "aria-hidden": "true" }),
    make("time", { datetime: session.start_time }, timeOf(session.start_time)),
    given(session.user_id, { class: "name" }),
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
