// All that the page says, in the reader's language: the same words, numbers and times as a session's own page has.

import { chooseLanguage, day, dayKey, fillText, flagText, minute, tables, told } from "/static/said.js";
import { ask, refusalText } from "/static/http.js";

chooseLanguage(await ask("/static/words.json"));

/** The text `name` ("find.title") of the service's own words, with `values` in its places. */
export function say(name, values = {}) {
  const [part, key] = name.split(".");
  return fillText(tables().service[part][key], values);
}
/** What went wrong, in the reader's language where the page has words for it. */
export const problemOf = (error) => refusalText(error, tables().service);
export const flagWord = flagText;
/** Whether a flag says something to people; the others are for developers, in a line's details. */
export const isTelling = (flag) => !["nonconforming", "demo"].includes(flag);
export const stateWord = (state) => told({ closed: "ended" }[state] ?? state, "states");
export const timeOf = (iso) => minute(Date.parse(iso));
export const dateOf = day;

/** The day of a time: today, yesterday, or its date. */
export function dayOf(iso) {
  const ms = Date.parse(iso), back = [0, 1].find((days) => dayKey(ms) === dayKey(Date.now() - days * 86_400_000));
  return back === undefined ? day(ms) : new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto" }).format(-back, "day");
}
