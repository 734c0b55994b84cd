// The door: a token, in exchange for a cookie that no script can read.

import { make } from "/static/elements.js";
import { ask } from "/static/http.js";
import { say } from "/static/words.js";

/** Ask for a token; `signedIn` is called once it was taken. */
export function showSignIn({ main, signedIn }) {
  const wrong = make("p", { class: "wrong", role: "alert" });
  const field = make("input", { type: "password", id: "token", autocomplete: "current-password", required: true });
  const enter = async (event) => {
    event.preventDefault();
    try {
      await ask("/page/sign-in", { method: "POST", body: { token: field.value } });
      field.value = "";
      signedIn();
    } catch (error) {
      wrong.textContent = error.status === 401 ? say("sign.unknown") : error.message;
      field.select();
    }
  };
  main.replaceChildren(make("form", { class: "sign-in", submit: enter },
    make("h1", {}, say("sign.title")), make("p", {}, say("sign.what")),
    make("label", { for: "token" }, say("sign.token")), field, wrong,
    make("button", { type: "submit", class: "main" }, say("sign.in"))));
  field.focus();
}
