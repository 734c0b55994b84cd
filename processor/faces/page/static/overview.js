// The whole: how many sessions there were, how long, and what was notable, by day and by person.

import { make, named } from "/static/elements.js";
import { ask } from "/static/http.js";
import { number, span } from "/static/said.js";
import { dayOf, flagWord, isTelling, say } from "/static/words.js";

const DAYS = 28;
const PERSONS = 20;  // that are shown at first: those with the most sessions

/** Show sums of the last four weeks. */
export async function showOverview({ main, signal }) {
  const since = new Date();
  since.setHours(0, 0, 0, 0);
  since.setDate(since.getDate() - DAYS + 1);
  const sums = (by) => ask("/v1/stats", { parameters: { by, since: since.toISOString() }, signal });
  const [days, users] = await Promise.all([sums("day"), sums("user")]);
  main.append(
    make("h1", {}, say("sums.title")),
    table(say("sums.by_day"), say("sums.day"), Object.entries(days.stats).sort().reverse(), ([day]) => link({ since: day, until: day }, dayOf(`${day}T12:00:00`))),
    persons(Object.entries(users.stats).sort((one, two) => two[1].sessions - one[1].sessions)),
  );
}

/** The persons with the most sessions, and a way to all of them. */
function persons(rows) {
  const tableOf = (some) => table(say("sums.by_user"), say("sums.user"), some, ([user]) => link({ user }, named(user)));
  if (rows.length <= PERSONS) return tableOf(rows);
  const place = make("div", {}, tableOf(rows.slice(0, PERSONS)));
  const showAll = () => {
    place.replaceChildren(tableOf(rows));
    place.querySelectorAll("tbody a")[PERSONS].focus();
  };
  place.append(make("button", { type: "button", click: showAll }, say("sums.all", { count: rows.length })));
  return place;
}

const link = (filter, text) => make("a", { href: `/?${new URLSearchParams(filter)}` }, text);

function table(caption, first, rows, name) {
  const most = Math.max(1, ...rows.map(([, sum]) => sum.sessions));
  const heads = [first, say("sums.sessions"), say("sums.length"), say("sums.messages"), say("sums.flags")];
  return make("table", { class: "sums" }, make("caption", {}, caption),
    make("thead", {}, make("tr", {}, heads.map((head) => make("th", { scope: "col" }, head)))),
    make("tbody", {}, rows.map((row) => make("tr", {}, make("th", { scope: "row" }, name(row)), ...cells(row[1], most)))));
}

function cells(sum, most) {
  const flags = Object.entries(sum.summary.flags).filter(([flag]) => isTelling(flag)).map(([flag, count]) => `${flagWord(flag)} ${count}`);
  return [
    make("td", {}, make("meter", { min: 0, max: most, value: sum.sessions, "aria-hidden": "true" }), ` ${number(sum.sessions)}`),
    make("td", {}, span(sum.duration_ms)), make("td", {}, number(sum.messages)), make("td", {}, flags.join(", ")),
  ];
}
