// The page begins here: who one is, and which part of the page the address asks for.

import { showCorner } from "/static/corner.js";
import { door } from "/static/door.js";
import { make } from "/static/elements.js";
import { showFind } from "/static/find.js";
import { Refusal, ask } from "/static/http.js";
import { showOverview } from "/static/overview.js";
import { showPerson } from "/static/person.js";
import { showSignIn } from "/static/signin.js";
import { problemOf, say } from "/static/words.js";

const main = document.getElementById("main");
let leaving = new AbortController();

/** Show what the address asks for; what the part before was doing ends. */
async function show() {
  leaving.abort();
  leaving = new AbortController();
  const address = new URLSearchParams(location.search), part = { main, address, signal: leaving.signal };
  try {
    const me = await ask("/page/me", { signal: part.signal }), back = address.get("back");
    if (back?.startsWith("?session=")) return location.replace(`/${back}`);  // There one was not signed in.
    frame(me, address);
    main.replaceChildren();
    if (address.get("user")) await showPerson({ ...part, me });
    else if (address.get("view") === "overview") await showOverview({ ...part, me });
    else if (address.get("view") === "operations") await showCorner(part);
    else await showFind({ ...part, me });
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error instanceof Refusal && error.status === 401) await signIn();
    else main.replaceChildren(refusal(error));
  }
}

async function signIn() {
  for (const id of ["places", "who", "foot"]) document.getElementById(id).replaceChildren();
  const { provider } = await ask("/page/doors");
  showSignIn({ main, provider, signedIn: show });
}

function refusal(error) {
  const again = make("button", { type: "button", click: show }, say("find.again"));
  return make("section", { class: "notice", role: "alert" }, make("p", {}, problemOf(error)), again);
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
  document.getElementById("who").replaceChildren(...door(me, { signal: leaving.signal, ended: show }));
  document.getElementById("foot").replaceChildren(make("p", {}, say("find.nothing_changes")));
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
