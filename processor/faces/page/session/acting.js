// What the reader can add to a session, what can be done with it while it is open, and how it is handed on.

const sessionId = new URLSearchParams(location.search).get("session");
const path = `/v1/sessions/${encodeURIComponent(sessionId)}`;
const service = import("/static/http.js");
const FORMATS = ["html", "zip", "timeline", "csv", "json"];
const ADDITIONS = new Set(["note", "tag", "bookmark", "share"]);
const OFFERED = { active: ["pause", "end"], paused: ["resume", "end"], closed: [] };
const own = (name, values = {}) => fillText(W.service.served[name], values);
let me = null;

/** Send something to the session; returns whether it was taken. What is wrong is told in the service's words. */
async function act(word, body = {}) {
  const { ask } = await service;
  byId("wrong").textContent = "";
  try {
    const isNamed = me.name !== "local" && word !== "shares";
    await ask(`${path}/${word}`, { method: "POST", body: isNamed ? { ...body, performer_id: me.name } : body });
    return true;
  } catch (error) {
    byId("wrong").textContent = [error.message, error.remedy].filter(Boolean).join(". ");
    return false;
  }
}

/** Ask the reader; returns the text ("" only if it may be empty), true where none is wanted, or null for no. */
function askReader(question, { yes, wantsText, mayBeEmpty = false, charsMax = 65_536 }) {
  const dialog = byId("ask"), text = byId("ask-text");
  byId("ask-what").textContent = question;
  byId("ask-yes").textContent = yes;
  text.hidden = !wantsText;
  text.required = wantsText && !mayBeEmpty;
  text.maxLength = charsMax;
  text.value = "";
  text.setAttribute("aria-label", question);
  dialog.showModal();
  if (wantsText) text.focus();
  return new Promise((done) => dialog.addEventListener("close", () => {
    const isYes = dialog.returnValue === "yes";
    dialog.returnValue = "";
    const given = text.value.trim();
    done(isYes ? (wantsText ? (given || mayBeEmpty ? given : null) : true) : null);
  }, { once: true }));
}

const ACTS = {
  share: () => share(),
  bookmark: () => bookmark(),
  note: async () => { const text = await askReader(own("note_hint"), { yes: own("add_note"), wantsText: true }); if (text) await act("notes", { text }); },
  tag: async () => { const text = await askReader(own("tag"), { yes: own("add_tag"), wantsText: true }); if (text) await act("tags", { add: [text] }); },
};
for (const word of ["pause", "resume", "end"]) {
  ACTS[word] = async () => { if (await askReader(own(`${word}_what`), { yes: own("yes"), wantsText: false })) await act(word); };
}

/** Show why the session is as it is: each boundary and each notable message, by its rule. */
async function showReasons() {
  const { ask } = await service;
  const { explanations } = await ask(`${path}/explain`);
  byId("reasons-list").replaceChildren(...explanations.map((each) => {
    const line = element("li");
    line.append(element("time", "", clock(Date.parse(each.at))), document.createTextNode(" "), said("span", "", each.words), element("small", "", ` ${each.rule}`));
    return line;
  }));
  byId("reasons").showModal();
}

/** Say what the session is like now, and what can be done with it. */
function offer(resource) {
  byId("acting").hidden = false;
  for (const button of document.querySelectorAll("[data-act]")) {
    const word = button.dataset.act, isAddition = ADDITIONS.has(word);
    const isAllowed = me.role === "operator" || (me.role === "reviewer") === isAddition;
    button.hidden = !isAllowed || !(isAddition || OFFERED[resource.status].includes(word));
  }
  byId("tags").replaceChildren(...resource.tags.map((tag) => said("span", "chip", tag)));
}

/** Write the words of the buttons, once the language is known. */
function prepare() {
  for (const node of document.querySelectorAll("[data-own]")) node.textContent = node.dataset.own === "close" ? page("close") : own(node.dataset.own);
  for (const button of document.querySelectorAll("[data-act]")) {
    button.textContent = own(button.dataset.act);
    button.addEventListener("click", ACTS[button.dataset.act]);
  }
  const back = element("a", "", own("all"));
  back.href = "/";
  const person = element("a", "", own("person")), day = new Date(session.start_ms).toLocaleDateString("sv");  // As ISO 8601 has it.
  person.href = `/?${new URLSearchParams({ user: session.user_id, week: day })}`;
  document.querySelector(".kicker").replaceChildren(back, " · ", person);
  byId("why").textContent = own("why");
  byId("why").addEventListener("click", showReasons);
  const print = element("button", "", own("print"));
  print.type = "button";
  print.addEventListener("click", () => window.print());
  byId("formats").append(...FORMATS.map((format) => {
    const link = element("a", "", own({ html: "as_page", zip: "as_zip", timeline: "as_timeline", csv: "as_csv", json: "as_json" }[format]));
    link.href = `${path}/export?format=${format}`;
    link.download = "";
    return link;
  }), print);
}
