// A person's page: a week of theirs, to read and to print, and the way to their sessions and to their whole file.

import { announce, given, make } from "/static/elements.js";
import { ask } from "/static/http.js";
import { number, phrase, plainId, range, span, tables, whose } from "/static/said.js";
import { dateOf, flagWord, isTelling, say, stateWord, timeOf } from "/static/words.js";

const PAGE = 200;          // sessions that are asked for at once
const SESSIONS_MAX = 400;  // of one week
const EXPRESSED_MAX = 20;  // different things that are listed
const AT_ONCE = 4;         // sessions that are read side by side

/** Show the week that the address names, or the latest one with a session. */
export async function showPerson({ main, address, me, signal }) {
  const user = address.get("user"), path = `/v1/users/${encodeURIComponent(user)}`;
  const [newest, all] = await Promise.all([
    ask(`${path}/sessions`, { parameters: { limit: 1 }, signal }), ask(`${path}/summary`, { signal }),
  ]);
  const monday = mondayOf(address.get("week"), newest.sessions[0]?.start_time);
  const next = plusDays(monday, 7), times = { since: monday.toISOString(), until: next.toISOString() };
  const [sums, sessions] = await Promise.all([ask(`${path}/summary`, { parameters: times, signal }), sessionsOf(path, times, signal)]);
  const week = range(monday.getTime(), plusDays(monday, 6).getTime());
  const print = make("button", { type: "button", class: "main", disabled: true, click: () => window.print() }, say("person.print"));
  const told = make("div", { class: "told" }), days = make("div", { class: "days" });
  document.title = `${plainId(user)}, ${week}`;
  main.append(
    make("header", { class: "person" }, given(plainId(user), { class: "name", role: "heading", "aria-level": 1, title: plainId(user) }),
      make("p", { class: "soft control" }, say("person.all", { sessions: all.sessions, length: all.duration_ms }), " ",
        make("a", { href: `/?${new URLSearchParams({ user_id: user })}` }, say("person.sessions")))),
    choice(user, monday, print),
    make("h2", { class: "week" }, week),
    ...noticesOf(sums, sessions, times),
    told, days, ...(me.role === "producer" ? [] : [wholeFile(path, me)]),
    make("p", { class: "soft made" }, say("person.made", { day: dateOf(Date.now()), time: timeOf(new Date().toISOString()) })),
  );
  if (!sessions.length) {
    told.append(make("p", { class: "empty" }, say("person.none")));
    return;
  }
  const tellings = await fill(days, sessions, signal);
  told.append(...totals(sums, sessions, tellings).filter(Boolean));
  print.disabled = false;
  announce(say("person.read"));
}

/** The Monday of the week in which a day is: `asked` as YYYY-MM-DD, else that of `latest`, else today. */
function mondayOf(asked, latest) {
  const named = new Date(`${asked}T00:00:00`), day = Number.isNaN(named.getTime()) ? new Date(latest ?? Date.now()) : named;
  day.setHours(0, 0, 0, 0);
  return plusDays(day, -((day.getDay() + 6) % 7));
}

function plusDays(day, days) {
  const other = new Date(day);
  other.setDate(other.getDate() + days);
  return other;
}

const isoDay = (day) => [day.getFullYear(), day.getMonth() + 1, day.getDate()].map((part) => String(part).padStart(2, "0")).join("-");
const weekAt = (user, day) => `/?${new URLSearchParams({ user, week: isoDay(day) })}`;

/** The way to all that is kept of the person, and what that is. */
function wholeFile(path, me) {
  return make("section", { class: "whole control" }, make("h2", {}, say("person.file")),
    make("p", {}, say("person.file_what")),
    make("p", {}, say(me.role === "operator" ? "person.file_who" : "person.file_not_who")),
    make("p", {}, say("person.file_safe")),
    make("a", { class: "button", href: `${path}/export`, download: "" }, say("person.file_get")));
}

/** What chooses the week: the one before, the one after, any other; and what prints it. */
function choice(user, monday, print) {
  const day = make("input", { type: "date", value: isoDay(monday), required: true });
  const go = (event) => {
    event.preventDefault();
    history.pushState(null, "", weekAt(user, new Date(`${day.value}T00:00:00`)));
    dispatchEvent(new PopStateEvent("popstate"));
  };
  return make("div", { class: "choice control" },
    make("a", { class: "button", href: weekAt(user, plusDays(monday, -7)), rel: "prev" }, `← ${say("person.before")}`),
    make("a", { class: "button", href: weekAt(user, plusDays(monday, 7)), rel: "next" }, `${say("person.after")} →`),
    make("form", { submit: go }, make("label", {}, make("span", {}, say("person.choose")), " ", day), " ", make("button", {}, say("person.show"))),
    print);
}

/** The sessions of a week, oldest first. */
async function sessionsOf(path, times, signal) {
  const found = [];
  let cursor = null;
  do {
    const page = await ask(`${path}/sessions`, { parameters: { ...times, limit: PAGE, cursor }, signal });
    found.push(...page.sessions);
    cursor = page.next_cursor;
    found.completeSince = page.complete_since;
  } while (cursor && found.length < SESSIONS_MAX);
  return Object.assign(found.reverse(), { isCut: cursor !== null });
}

function noticesOf(sums, sessions, times) {
  const notices = [];
  if (sessions.isCut) notices.push(say("person.many", { shown: sessions.length, sessions: sums.sessions }));
  if (sessions.completeSince > times.since) notices.push(say("find.complete_since", { day: dateOf(Date.parse(sessions.completeSince)) }));
  if (sums.partial) notices.push(say("person.partial", { sessions: sums.partial }));
  return notices.map((text) => make("p", { class: "notice" }, text));
}

/** Read what is told in the sessions, and show it day by day; returns what was told. */
async function fill(days, sessions, signal) {
  const places = [];
  let last = null, day = null;
  for (const session of sessions) {
    const date = dateOf(Date.parse(session.start_time));
    if (date !== last) days.append(day = make("section", { class: "day" }, make("h2", {}, date)));
    last = date;
    const place = make("section", { class: "session-told" }, headOf(session));
    day.append(place);
    places.push(place);
  }
  const tellings = [];
  for (let first = 0; first < sessions.length; first += AT_ONCE) {
    const some = sessions.slice(first, first + AT_ONCE);
    const read = await Promise.all(some.map((each) => ask(`/page/sessions/${encodeURIComponent(each.session_id)}/told`, { signal })));
    read.forEach((telling, index) => places[first + index].append(...toldIn(telling, some[index])));
    tellings.push(...read);
  }
  return tellings;
}

const sessionAt = (session, fragment = "") => `/?${new URLSearchParams({ session: session.session_id })}${fragment && `#${fragment}`}`;

function headOf(session) {
  const end = session.end_time ?? session.last_activity;
  const facts = [say("find.facts", { length: session.duration_ms, messages: session.message_count })];
  if (session.status !== "closed") facts.push(stateWord(session.status));
  if (session.completeness === "partial") facts.push(stateWord("partial"));
  return [
    make("h3", {}, make("a", { href: sessionAt(session) }, `${timeOf(session.start_time)} – ${timeOf(end)}`), " ", make("span", { class: "soft" }, facts.join(", "))),
    session.tags.length ? make("p", { class: "chips" }, session.tags.map((tag) => given(tag, { class: "chip" }))) : null,
    session.session_notes ? lineOf(timeOf(session.start_time), "session", say("person.at_start", { note: session.session_notes })) : null,
  ];
}

function toldIn({ lines, left_out: leftOut }, session) {
  const shown = lines.map(([ms, voice, name, values, detail, notices, place, marks, count]) => {
    const words = [count > 1 ? `${number(count)} ×` : "", phrase(name, values) + (detail ? `: ${detail}` : "")].filter(Boolean).join(" ");
    const line = lineOf(make("a", { href: sessionAt(session, place) }, timeOf(new Date(ms).toISOString())), voice, words);
    const odd = notices.filter(isTelling).map(flagWord);
    line.append(...odd.filter((flag) => !words.toLowerCase().includes(flag)).map((flag) => make("span", { class: "chip odd" }, flag)));
    line.append(...marks.map((text) => given(`★ ${text || say("served.bookmark")}`, { class: "chip mark" })));
    return line;
  });
  if (leftOut) shown.push(make("p", { class: "soft" }, say("person.left_out", { lines: leftOut })));
  else if (!lines.length && !session.session_notes) shown.push(make("p", { class: "soft" }, say("person.nothing")));
  return shown;
}

const lineOf = (time, voice, words) => make("div", { class: "line", "data-of": voice }, make("span", { class: "at" }, time),
  make("span", { class: "whose" }, voice === "session" ? "" : whose(voice)), given(words, { class: "what" }));

/** What the week adds up to. */
function totals(sums, sessions, tellings) {
  const { summary } = sums, notes = sessions.reduce((sum, each) => sum + each.note_count, 0);
  const facts = [
    [say("sums.sessions"), number(sums.sessions)], [say("sums.length"), span(sums.duration_ms)], [say("sums.messages"), number(sums.messages)],
    [say("person.notes"), notes && number(notes)],
    ...["user", "carer"].map((voice) => [say("person.from", { who: whose(voice) }), summary.expressed_by[voice] && number(summary.expressed_by[voice])]),
    [say("person.sure"), summary.average_confidence !== null && say("person.percent", { percent: Math.round(summary.average_confidence * 100) })],
    ...["confirmed", "corrected", "rejected"].map((word) => [say(`person.${word}`), summary.feedback[word] && number(summary.feedback[word])]),
  ].filter(([, value]) => value);
  const flags = Object.entries(summary.flags).filter(([word]) => isTelling(word));
  return [
    make("dl", { class: "facts" }, facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))),
    list(say("person.notable"), flags.map(([word, count]) => [count, flagSentence(word)])),
    list(say("person.expressed"), expressedIn(tellings)),
  ];
}

/** What the user expressed in all of the sessions, the most frequent first. */
function expressedIn(tellings) {
  const counts = new Map();
  for (const { expressed } of tellings) {
    for (const [name, values, count] of expressed) {
      const words = phrase(name, values);
      counts.set(words, (counts.get(words) ?? 0) + count);
    }
  }
  return [...counts].map(([words, count]) => [count, words]).sort((one, two) => two[0] - one[0]);
}

function list(title, counted) {
  if (!counted.length) return null;
  const more = counted.length - EXPRESSED_MAX;
  return make("section", { class: "counted" }, make("h3", {}, title), make("ul", {},
    counted.slice(0, EXPRESSED_MAX).map(([count, words]) => make("li", {}, make("span", { class: "times" }, `${number(count)} ×`), " ", given(words))),
    more > 0 ? make("li", {}, say("person.more", { count: more })) : null));
}

const flagSentence = (word) => [flagWord(word), tables().flags[word]?.[1]].filter(Boolean).join(": ");
