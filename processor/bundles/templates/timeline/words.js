// Words, numbers and times in the reader's language. Fills phrases as processor/upstream/words/table.py does.

let W = null, locale = "en-GB", utc = false, formats = {};

const byId = (id) => document.getElementById(id);
function chooseLanguage(tables) {
  const wanted = (navigator.languages || []).map((tag) => tag.slice(0, 2)).find((tag) => Object.hasOwn(tables, tag)) || "en";
  W = tables[wanted];
  locale = wanted === "en" ? "en-GB" : navigator.languages.find((tag) => tag.startsWith(wanted));  // English: the day first, 24 hours.
  document.documentElement.lang = wanted;
}
const page = (name, values = {}) => fillText(W.page[name], values);
const who = (voice) => W.who[voice] || voice;
const fill = (said) => fillText(W.phrases[said.phrase], said.values);
function fillText(text, values) {
  const isThere = (name) => values[name] !== undefined && values[name] !== null && values[name] !== "" && values[name].length !== 0;
  const whole = text.replace(/\[([^\]]*)\]/g, (_, part) => ([...part.matchAll(/\{(\w+)/g)].every((place) => isThere(place[1])) ? part : ""));
  return whole.replace(/\{(\w+)(?::(\w+))?\}/g, (_, name, kind) => told(values[name] ?? "", kind)).replace(/\s+/g, " ").trim();
}
function told(value, kind) {
  if (kind === "flags") return value.map(flagText).join(", ");
  if (kind === "reasons" && Array.isArray(value)) return value.map((word) => W.reasons[word] ?? word).join("; ");
  if (Array.isArray(value)) return value.map((each) => W.quoted.replace("{text}", () => each)).join(W.or);
  if (typeof value === "object") return Object.entries(value).map(([word, count]) => `${number(count)} ${flagText(word)}`).join(", ");
  if (kind === "id") return plainId(value);
  if (kind === "span") return span(value);
  if (kind === "precise") return precise(value);
  if (kind === "time") return format("moment").format(value);
  if (kind === "number") return number(value);
  if (Object.hasOwn(W.counts, kind)) return counted(kind, value);
  return String(kind && Object.hasOwn(W[kind], value) ? W[kind][value] : value);
}
/** An id. If it could be taken for another one, it is in quotes, with its odd characters as \u…. As processor/upstream/words/ids.py. */
function plainId(id) {
  const isPrintable = !/[\p{C}\p{Z}]/u.test(id.replaceAll(" ", "")), isMixed = /\p{Script=Latin}/u.test(id) && /(?=\p{L})\P{Script=Latin}/u.test(id);
  if (isPrintable && !isMixed && id === id.trim() && !id.includes("  ") && id === id.normalize("NFKC")) return id;
  const escaped = (unit) => `\\u${unit.charCodeAt().toString(16).padStart(4, "0")}`;
  return JSON.stringify(id).replace(/[^ -~]|(?<= ) /g, escaped);
}
const number = (value) => format("number").format(value);
const counted = (name, count) => W.counts[name][count === 1 ? "one" : "other"].replace("{count}", number(count));
const flagText = (word) => (Object.hasOwn(W.flags, word) ? W.flags[word][0] : word.replace(/_/g, " "));

const SHAPES = {
  clock: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
  minute: { hour: "2-digit", minute: "2-digit" },
  day: { weekday: "long", day: "numeric", month: "long", year: "numeric" },
  moment: { weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" },
  date: { year: "numeric", month: "2-digit", day: "2-digit" },
};
function format(shape) {
  return formats[shape] ??= shape === "number" ? new Intl.NumberFormat(locale)
    : new Intl.DateTimeFormat(locale, { ...SHAPES[shape], ...(utc ? { timeZone: "UTC" } : {}) });
}
const clock = (ms) => format("clock").format(ms);
const minute = (ms) => format("minute").format(ms);
const day = (ms) => format("day").format(ms);
const zone = () => (utc ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone);
let quarter = NaN, quarterKey = "";  // Neighbours mostly share it, and formatting a date is slow.
function dayKey(ms) {
  const now = Math.floor(ms / 900000);  // No time zone changes within a quarter of an hour.
  if (now !== quarter) { quarter = now; quarterKey = format("date").format(ms); }
  return quarterKey;
}
function showUtc(on) { utc = on; formats = {}; quarter = NaN; }
function span(ms) {
  const minutes = Math.round(ms / 60000);
  if (ms && ms < 1000) return page("under_a_second");
  if (ms < 59500) return `${Math.round(ms / 1000)} s`;
  if (minutes < 60) return counted("minutes", minutes);
  return `${Math.floor(minutes / 60)} h` + (minutes % 60 ? ` ${minutes % 60} min` : "");
}
function precise(ms) {
  const minutes = Math.floor(ms / 60000), rest = ms % 60000, seconds = `${number(rest / 1000)} s`;
  return minutes ? (rest ? `${span(minutes * 60000)} ${seconds}` : span(minutes * 60000)) : seconds;
}
function readable(key) {
  const words = String(key).replace(/_/g, " ").replace(/ ms$/, " (ms)");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined && text !== null) made.textContent = text;
  return made;
}
function said(tag, className, text) {  // What people wrote may run from right to left.
  const made = element(tag, className, text);
  made.dir = "auto";
  return made;
}
function translate() {
  for (const node of document.querySelectorAll("[data-say]")) node.textContent = page(node.dataset.say);
  for (const node of document.querySelectorAll("[data-who]")) node.textContent = who(node.dataset.who);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", page(node.dataset.label));
  for (const node of document.querySelectorAll("[data-fact]")) node.textContent = W.facts[node.dataset.fact];
  for (const node of document.querySelectorAll("[data-hint]")) node.title = page(node.dataset.hint);
}
