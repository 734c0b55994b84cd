// Which sessions are meant: the fields of the form, what stands in the address, and what the service is asked.

import { make } from "/static/elements.js";
import { ask } from "/static/http.js";
import { plainId, tables } from "/static/said.js";
import { flagWord, say } from "/static/words.js";

const TYPING_MS = 250;  // after the last key, before it is searched
const KNOWN_MS = 28 * 86_400_000;
const STATUSES = ["open", "closed", "partial"];
const FILTERS = ["q", "user_id", "since", "until", "status", "flag", "tag", "template", "min_duration_s", "has_notes", "bookmarked"];

/** What an address asks for; a day that is none is left out. */
export function askedOf(address) {
  const asked = Object.fromEntries(FILTERS.map((name) => [name, address.get(name) ?? ""]));
  for (const name of ["since", "until"]) if (Number.isNaN(Date.parse(asked[name]))) asked[name] = "";
  return asked;
}

/** The address that asks for it, so that a link shows a colleague the same. */
export function addressOf(asked) {
  const address = new URLSearchParams(Object.entries(asked).filter(([, value]) => value));
  return address.size ? `/?${address}` : "/";
}

/** The parameters of the service: `until` is the last day that counts, and lengths are minutes. */
export function parametersOf(asked) {
  const startOf = (day, later = 0) => {
    const at = new Date(`${day}T00:00:00`);
    at.setDate(at.getDate() + later);  // A day may have 23 hours.
    return at.toISOString();
  };
  return {
    ...asked,
    since: asked.since && startOf(asked.since),
    until: asked.until && startOf(asked.until, 1),
    min_duration_s: asked.min_duration_s && Number(asked.min_duration_s) * 60,
  };
}

/** The form; `changed` is called when something else is asked for. */
export function form(asked, changed) {
  let timer;
  const set = (name, wait) => (event) => {
    if (!event.target.validity.valid) return;
    asked[name] = event.target.type === "checkbox" ? (event.target.checked ? "true" : "") : event.target.value;
    clearTimeout(timer);
    timer = setTimeout(changed, wait);
  };
  const field = (name, attributes) => label(name, make("input", { name, value: asked[name], input: set(name, TYPING_MS), autocomplete: "off", spellcheck: "false", maxlength: 512, ...attributes }));
  const choice = (name, values, wordOf) => label(name, make("select", { name, change: set(name, 0) },
    make("option", { value: "" }, say("find.any")),
    values.map((each) => make("option", { value: each, selected: asked[name] === each }, wordOf(each)))));
  const known = (name, by) => {  // What there was in the last weeks is suggested, once somebody goes there.
    const list = make("datalist", { id: `known-${name}` }), since = new Date(Date.now() - KNOWN_MS).toISOString();
    const told = ({ stats }) => list.replaceChildren(...Object.keys(stats).filter(Boolean).map((value) => make("option", { value, label: plainId(value) })));
    const labelled = field(name, { list: list.id });
    labelled.addEventListener("focusin", () => ask("/v1/stats", { parameters: { by, since } }).then(told, () => {}), { once: true });
    labelled.append(list);
    return labelled;
  };
  const box = (name) => label(name, make("input", { type: "checkbox", name, checked: asked[name] === "true", change: set(name, 0) }));
  const search = make("input", { type: "search", name: "q", value: asked.q, input: set("q", TYPING_MS), placeholder: say("find.search_hint"), "aria-label": say("find.search"), autocomplete: "off", maxlength: 512 });
  const used = FILTERS.some((name) => name !== "q" && asked[name]);
  return make("form", { class: "find", role: "search", submit: (event) => event.preventDefault() }, search,
    make("details", { open: used }, make("summary", {}, say("find.filters")),
      make("div", { class: "fields" },
        known("user_id", "user"), field("since", { type: "date" }), field("until", { type: "date" }),
        choice("status", STATUSES, (status) => say(`find.${status}`)), choice("flag", Object.keys(tables().flags), flagWord),
        field("tag"), known("template", "template"), field("min_duration_s", { type: "number", min: 0, max: 1e7 }),
        box("has_notes"), box("bookmarked"),
        make("a", { class: "clear", href: "/" }, say("find.clear")))));
}

const label = (name, field) => make("label", {}, make("span", {}, say(`find.${name}`)), field);
