// Who one is, for how long still, and the way out: the same on every page. The end of a sign-in is said before it comes.

import { given, make } from "/static/elements.js";
import { ask } from "/static/http.js";
import { problemOf, say, timeOf } from "/static/words.js";

const EARLY_MS = 10 * 60_000;

// A page that one comes back to was not kept current, and one may be signed out: it shows nothing, and is loaded anew.
addEventListener("pagehide", () => { document.documentElement.style.visibility = "hidden"; });
addEventListener("pageshow", ({ persisted }) => { if (persisted) location.reload(); });

/** Go to the organisation's sign-in service; one comes back to where one is. */
export async function toProvider() {
  const { go_to } = await ask("/page/oidc", { method: "POST", body: { back: location.pathname + location.search } });
  location.assign(go_to);
}

/** Return what stands at the top of a page: name, warning, way out; `ended` is called once one is out. The browser's clock may be wrong. */
export function door(me, { signal, ended }) {
  if (!me.signed_in_until) return [];
  const note = make("span", { class: "soft", role: "status" }), end = me.signed_in_for_s * 1000;
  const later = (ms, does) => {
    const timer = setTimeout(does, Math.max(ms, 0));
    signal?.addEventListener("abort", () => clearTimeout(timer));
  };
  const button = (name, does) => make("button", { type: "button", click: () => does().catch((error) => { note.textContent = problemOf(error); }) }, say(name));
  const stay = () => (me.at_provider ? [" ", button("sign.stay", toProvider)] : []);
  later(end - EARLY_MS, () => note.replaceChildren(say("sign.ends", { time: timeOf(me.signed_in_until) }), ...stay()));
  later(end, ended);
  const out = button("sign.out", async () => {
    const { go_to } = await ask("/page/sign-out", { method: "POST" });
    if (go_to) location.assign(go_to);
    else ended();
  });
  return [note, given(me.name), out];
}
