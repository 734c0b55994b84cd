// The door: a token, in exchange for a cookie that no script can read.

import { toProvider } from "/static/door.js";
import { make } from "/static/elements.js";
import { ask } from "/static/http.js";
import { problemOf, say } from "/static/words.js";

/** Offer the organisation's sign-in service if there is a `provider`, and ask for a token; `signedIn` is called once it was taken. */
export function showSignIn({ main, provider, signedIn }) {
  const wrong = make("p", { class: "wrong", role: "alert" });
  const field = make("input", { type: "password", id: "token", autocomplete: "current-password", required: true });
  const enter = async (event) => {
    event.preventDefault();
    try {
      await ask("/page/sign-in", { method: "POST", body: { token: field.value } });
      field.value = "";
      signedIn();
    } catch (error) {
      wrong.textContent = error.status === 401 ? say("sign.unknown") : problemOf(error);
      field.select();
    }
  };
  const form = make("form", { class: "sign-in", submit: enter },
    make("p", {}, say("sign.what")), make("label", { for: "token" }, say("sign.token")), field,
    make("button", { type: "submit", class: provider ? "" : "main" }, say("sign.in")));
  const go = () => toProvider().catch((error) => { wrong.textContent = problemOf(error); });
  const first = provider ? make("button", { type: "button", class: "main", click: go }, say("sign.provider")) : field;
  main.replaceChildren(make("section", { class: "sign-in" }, make("h1", {}, say("sign.title")), wrong,
    ...(provider ? [first, make("details", {}, make("summary", {}, say("sign.with_token")), form)] : [form])));
  first.focus();
}
