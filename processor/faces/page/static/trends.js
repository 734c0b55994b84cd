// Trends as small pictures: a bar a day. Who cannot see them hears the same numbers; the tables beside them have them too.

import { make } from "/static/elements.js";
import { dayOf, say } from "/static/words.js";

const STEP = 10, BAR = 8, HEIGHT = 40;
const DAY_MS = 86_400_000;

/** The days from one to another, as the sums name them: in UTC. */
export function daysBetween(first, last) {
  const days = [];
  for (let ms = Date.parse(first.toISOString().slice(0, 10)); ms <= last.getTime(); ms += DAY_MS) days.push(new Date(ms).toISOString().slice(0, 10));
  return days;
}

/** A picture of `valueOf(day)` for each of `days`; `told` says a value, `what` what the values are. */
export function bars(days, { what, valueOf, told, small = false }) {
  const values = days.map((day) => valueOf(day) ?? 0), most = Math.max(...values, 1);
  const shape = (tag, attributes, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  const bar = (value, place) => {
    const height = value ? Math.max(2, (HEIGHT * value) / most) : 1;
    const words = shape("title", {}, `${dayName(days[place])}: ${told(value)}`);
    return shape("rect", { class: value ? "bar" : "bar none", x: place * STEP, y: HEIGHT - height, width: BAR, height }, words);
  };
  const label = say("sums.trend", { what, numbers: values.map(told).join(", "), first: dayName(days[0]) });
  return shape("svg", {
    class: small ? "bars small" : "bars", viewBox: `0 0 ${days.length * STEP} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label,
  }, ...values.map(bar));
}

/** A picture with what it shows, its greatest value, and where it begins and ends. */
export function figure(days, picture) {
  const most = Math.max(...days.map((day) => picture.valueOf(day) ?? 0));
  return make("figure", { class: "trend" },
    make("figcaption", {}, picture.what, make("span", { class: "soft" }, say("sums.most", { value: picture.told(most) }))),
    bars(days, picture),
    make("p", { class: "soft ends", "aria-hidden": "true" }, make("span", {}, dayName(days[0])), make("span", {}, dayName(days.at(-1)))));
}

const dayName = (day) => dayOf(`${day}T12:00:00`);
