// The page begins here: who one is, and which part of the page the address asks for.

import { showCorner } from "/static/corner.js";
import { announce, given, make } from "/static/elements.js";
import { showFind } from "/static/find.js";
import { Refusal, ask } from "/static/http.js";
import { showOverview } from "/static/overview.js";
import { showPerson } from "/static/person.js";
import { showSignIn } from "/static/signin.js";
import { say, timeOf } from "/static/words.js";

const EARLY_MS = 10 * 60_000;  // before the end of a sign-in it is said
const main = document.getElementById("main");
let leaving = new AbortController();

/** Show what the address asks for; what the part before was doing ends. */
async function show() {
  leaving.abort();
  leaving = new AbortController();
  const address = new URLSearchParams(location.search), part = { main, address, signal: leaving.signal };
  try {
    const me = await ask("/page/me");
    frame(me, address);
    main.replaceChildren();
    if (address.get("user")) await showPerson({ ...part, me });
    else if (address.get("view") === "overview") await showOverview({ ...part, me });
    else if (address.get("view") === "operations") await showCorner(part);
    else await showFind({ ...part, me });
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error instanceof Refusal && error.status === 401) {
      for (const id of ["places", "who", "foot"]) document.getElementById(id).replaceChildren();
      showSignIn({ main, signedIn: show });
    } else main.replaceChildren(refusal(error));
  }
}

function refusal(error) {
  const again = make("button", { type: "button", click: show }, say("find.again"));
  return make("section", { class: "notice", role: "alert" }, make("p", {}, error.message), error.remedy ? make("p", {}, error.remedy) : null, again);
}

/** What stands around every part: where one can go, and who one is. */
function frame(me, address) {
  document.title = say("find.home");
  const link = (words, href, here) => make("a", { href, "aria-current": here ? "page" : null }, words);
  const view = address.get("user") ? "person" : address.get("view") ?? "find";
  document.getElementById("places").replaceChildren(
    link(say("find.title"), "/", view === "find"), link(say("sums.place"), "/?view=overview", view === "overview"),
    ...(me.role === "operator" ? [link(say("corner.place"), "/?view=operations", view === "operations")] : []),
  );
  document.getElementById("who").replaceChildren(...(me.signed_in_until ? signedIn(me) : []));
  document.getElementById("foot").replaceChildren(make("p", {}, say("find.nothing_changes")));
}

function signedIn(me) {
  const ends = Date.parse(me.signed_in_until) - EARLY_MS - Date.now();
  const note = make("span", { class: "soft" });
  const timer = setTimeout(() => {
    note.textContent = say("sign.ends", { time: timeOf(me.signed_in_until) });
    announce(note.textContent);
  }, Math.max(ends, 0));
  leaving.signal.addEventListener("abort", () => clearTimeout(timer));
  const out = make("button", { type: "button", click: async () => { await ask("/page/sign-out", { method: "POST" }); show(); } }, say("sign.out"));
  return [note, given(me.name), out];
}

document.getElementById("skip").textContent = say("find.skip");
document.getElementById("home").textContent = say("find.home");
addEventListener("popstate", show);
addEventListener("click", (event) => {  // Links within the page do not load it again.
  const link = event.target.closest?.("a[href^='/']");
  if (!link || link.target || link.hasAttribute("download") || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  if (link.pathname !== "/" || new URLSearchParams(link.search).has("session")) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  show().then(() => main.focus());
});
show();
