// The whole: how many sessions there were, how long, and what was notable, by day and by person.

import { make, named } from "/static/elements.js";
import { ask } from "/static/http.js";
import { number, span } from "/static/said.js";
import { bars, daysBetween, figure } from "/static/trends.js";
import { dayOf, flagWord, isTelling, say } from "/static/words.js";

const DAYS = 28;
const PERSONS = 20;  // that are shown at first: those with the most sessions

/** Show sums of the last four weeks. */
export async function showOverview({ main, signal }) {
  const since = new Date();
  since.setHours(0, 0, 0, 0);
  since.setDate(since.getDate() - DAYS + 1);
  const sums = (parameters) => ask("/v1/stats", { parameters: { ...parameters, since: since.toISOString() }, signal });
  const [days, users] = await Promise.all([sums({ by: "day" }), sums({ by: "user", days: true })]);
  const period = daysBetween(since, new Date());
  main.append(
    make("h1", {}, say("sums.title")),
    make("div", { class: "trends" }, pictures(days.stats).map((picture) => figure(period, picture))),
    table(say("sums.by_day"), say("sums.day"), Object.entries(days.stats).sort().reverse(), ([day]) => link({ since: day, until: day }, dayOf(`${day}T12:00:00`))),
    persons(period, Object.entries(users.stats).sort((one, two) => two[1].sessions - one[1].sessions)),
  );
}

/** The persons with the most sessions, and a way to all of them. */
function persons(period, rows) {
  const tableOf = (some) => table(say("sums.by_user"), say("sums.user"), some, ([user]) => link({ user }, named(user)), (sum) => daysOf(period, sum));
  if (rows.length <= PERSONS) return tableOf(rows);
  const place = make("div", {}, tableOf(rows.slice(0, PERSONS)));
  const showAll = () => {
    place.replaceChildren(tableOf(rows));
    place.querySelectorAll("tbody a")[PERSONS].focus();
  };
  place.append(make("button", { type: "button", click: showAll }, say("sums.all", { count: rows.length })));
  return place;
}

const flagsOf = (sum) => Object.entries(sum.summary.flags).filter(([flag]) => isTelling(flag));

/** What there is to see of each day. */
const pictures = (stats) => [
  { what: say("sums.sessions"), valueOf: (day) => stats[day]?.sessions, told: number },
  { what: say("sums.length"), valueOf: (day) => stats[day]?.duration_ms, told: span },
  { what: say("sums.flags"), valueOf: (day) => stats[day] && flagsOf(stats[day]).reduce((all, [, count]) => all + count, 0), told: number },
];

/** A person's days, as far as they are told. */
const daysOf = (period, sum) => (sum.days ? bars(period, { what: say("sums.sessions"), valueOf: (day) => sum.days[day]?.sessions, told: number, small: true }) : "");

const link = (filter, text) => make("a", { href: `/?${new URLSearchParams(filter)}` }, text);

function table(caption, first, rows, name, picture = null) {
  const most = Math.max(1, ...rows.map(([, sum]) => sum.sessions));
  const heads = [first, say("sums.sessions"), say("sums.length"), say("sums.messages"), say("sums.flags"), ...(picture ? [say("sums.days")] : [])];
  return make("table", { class: "sums" }, make("caption", {}, caption),
    make("thead", {}, make("tr", {}, heads.map((head) => make("th", { scope: "col" }, head)))),
    make("tbody", {}, rows.map((row) => make("tr", {}, make("th", { scope: "row" }, name(row)), ...cells(row[1], most), picture && make("td", {}, picture(row[1]))))));
}

function cells(sum, most) {
  const flags = flagsOf(sum).map(([flag, count]) => `${flagWord(flag)} ${count}`);
  return [
    make("td", {}, make("meter", { min: 0, max: most, value: sum.sessions, "aria-hidden": "true" }), ` ${number(sum.sessions)}`),
    make("td", {}, span(sum.duration_ms)), make("td", {}, number(sum.messages)), make("td", {}, flags.join(", ")),
  ];
}
