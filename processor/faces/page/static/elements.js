// Elements are made here, and only here: text is always text, so nothing that somebody wrote can become part of the page.

import { plainId } from "/static/said.js";

/** Make an element; `attributes` that are functions listen to events, children are elements or text. */
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** A name that somebody gave: isolated, so that right-to-left text does not turn around what stands beside it. */
export const given = (text, attributes = {}) => make("span", attributes, make("bdi", {}, text));

const NAME_CHARS_MAX = 24;
const TAIL_CHARS = 4;  // of a long name that are kept: made-up names differ there too

/** A person's id in a line that holds more than it: the middle of a long one is left out, the whole is its title. */
export function named(user, attributes = {}) {
  const shown = plainId(user), chars = [...shown];
  if (chars.length <= NAME_CHARS_MAX) return given(shown, attributes);
  const kept = `${chars.slice(0, NAME_CHARS_MAX - TAIL_CHARS - 1).join("")}…${chars.slice(-TAIL_CHARS).join("")}`;
  return given(kept, { ...attributes, title: shown });
}

/** Tell it to those who listen instead of looking. */
export function announce(text) {
  document.getElementById("said").textContent = text;
}
