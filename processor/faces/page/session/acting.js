// What the reader can add to a session, what can be done with it while it is open, and how it is handed on.

const sessionId = new URLSearchParams(location.search).get("session");
const path = `/v1/sessions/${encodeURIComponent(sessionId)}`;
const service = import("/static/http.js");
const FORMATS = ["html", "zip", "timeline", "csv", "json"];
const ADDITIONS = new Set(["note", "tag", "bookmark", "share"]);
const REASONS_SHOWN = 200;
const OFFERED = { active: ["pause", "end"], paused: ["resume", "end"], closed: [] };
const asOf = new URLSearchParams(location.search).get("as_of");
const own = (name, values = {}) => fillText(W.service.served[name], values);
let me = null;
let isOver = false;  // whether the session has ended
let unanswered = null;  // what was sent and had no answer: sent again it carries its key, and is done once
let unsent = "";     // a note that was written and not taken: it stands there again when the reader writes next

/** Send something to the session; returns whether it was taken. What is wrong is told in the service's words. */
async function act(word, body = {}) {
  const { ask } = await service;
  byId("wrong").textContent = "";
  const isNamed = me.name !== "local" && word !== "shares", sent = isNamed ? { ...body, performer_id: me.name } : body;
  const request = JSON.stringify([word, sent]);
  if (unanswered?.request !== request) unanswered = { request, key: crypto.getRandomValues(new Uint32Array(4)).join("-") };
  try {
    await ask(`${path}/${word}`, { method: "POST", body: sent, key: unanswered.key });
    unanswered = null;
    return true;
  } catch (error) {
    const isFinal = error.code === "no_outcome" || (error.status < 500 && error.code !== "in_flight");
    if (isFinal) unanswered = null;
    fail(error);
    return error.code === "no_outcome";  // Then it is kept, and will be done later.
  }
}

/** Ask the reader; returns the text ("" only if it may be empty), true where none is wanted, or null for no. `given` stands there at first. */
function askReader(question, { yes, no = own("no"), wantsText = false, mayBeEmpty = false, charsMax = 65_536, given = "" }) {
  const dialog = byId("ask"), text = byId("ask-text");
  byId("ask-what").textContent = question;
  byId("ask-yes").textContent = yes ?? "";
  byId("ask-yes").hidden = yes === undefined;
  byId("ask-no").textContent = no;
  text.hidden = byId("ask-rights").hidden = !wantsText;  // Only words stay as they are, and under the reader's name.
  text.required = wantsText && !mayBeEmpty;
  text.maxLength = charsMax;
  text.value = given;
  text.setAttribute("aria-label", question);
  dialog.showModal();
  if (wantsText) text.focus();
  return new Promise((done) => dialog.addEventListener("close", () => {
    const isYes = dialog.returnValue === "yes";
    dialog.returnValue = "";
    const written = text.value.trim();
    done(isYes ? (wantsText ? (written || mayBeEmpty ? written : null) : true) : null);
  }, { once: true }));
}

/** Ask for words and send them by `send`; returns whether they were taken. Nobody has to write them twice. */
async function write(question, options, send) {
  const text = await askReader(question, { ...options, wantsText: true, given: unsent });
  unsent = text ?? "";
  if (text === null || !await send(text)) return false;
  unsent = "";
  return true;
}

/** In a session that has ended, say what to do in place of `add`. */
function whileOpen(add) { return async () => { if (isOver) await askReader(own("over"), { no: page("close") }); else await add(); }; }

const ACTS = {
  share: () => share(),
  bookmark: () => bookmark(),
  note: whileOpen(() => write(own("note_hint"), { yes: own("add_note") }, (text) => act("notes", { text }))),
  tag: whileOpen(async () => { const text = await askReader(own("tag"), { yes: own("add_tag"), wantsText: true }); if (text) await act("tags", { add: [text] }); }),
};
for (const word of ["pause", "resume", "end"]) {
  ACTS[word] = async () => { if (await askReader(own(`${word}_what`), { yes: own("yes"), wantsText: false })) await act(word); };
}

/** Show why the session is as it is: each boundary and each notable message, by its rule. */
async function showReasons() {
  const { ask } = await service;
  const { explanations } = await ask(`${path}/explain`, { parameters: { as_of: asOf } });
  const left = explanations.length - REASONS_SHOWN;
  byId("reasons-list").replaceChildren(...explanations.slice(0, REASONS_SHOWN).map(reasonLine), ...(left > 0 ? [element("li", "", own("version_more", { lines: left }))] : []));
  byId("reasons").showModal();
}
function reasonLine(each) {
  const line = element("li"), ms = Date.parse(each.at), isOfTheDay = dayKey(ms) === dayKey(session.start_ms);
  const time = element("time", "", isOfTheDay ? clock(ms) : `${day(ms)}, ${clock(ms)}`), words = said(each.seq ? "a" : "span", "", fill(each));
  if (each.seq) {
    words.href = `#seq=${each.seq}`;
    words.addEventListener("click", () => byId("reasons").close());
  }
  line.append(time, " ", words, element("small", "", ` ${each.rule}`));
  return line;
}

/** Show the tags; each tells who put it there, and whoever may can take it off. */
function tellTags(tags, mayRemove) {
  const told = JSON.stringify(tags);
  if (byId("tags").dataset.told === told) return;  // The keyboard may be on one of them.
  byId("tags").dataset.told = told;
  byId("tags").replaceChildren(...tags.map((tag) => {
    const chip = said("button", "chip", tag);
    chip.type = "button";
    chip.addEventListener("click", () => showTag(tag, mayRemove));
    return chip;
  }));
}
async function showTag(tag, mayRemove) {
  const put = entries.filter((entry) => entry.kind === "tag" && restOf(entry).record.details.tags.add?.includes(tag)).pop();
  const told = put ? own("tag_by", { tag, who: put.values.who, when: put.ms }) : tag;
  if (!mayRemove) await askReader(told, { no: page("close") });
  else if (await askReader(`${told} ${own("tag_off_what")}`, { yes: own("tag_off"), no: page("close") })) await act("tags", { remove: [tag] });
}

/** Say what the session is like now, and what can be done with it. */
function offer(resource) {
  byId("acting").hidden = false;
  isOver = resource.status === "closed";
  for (const button of document.querySelectorAll("[data-act]")) {
    const word = button.dataset.act, isAddition = ADDITIONS.has(word);
    const isAllowed = me.role === "operator" || (me.role === "reviewer") === isAddition;
    button.hidden = !isAllowed || !(isAddition || OFFERED[resource.status].includes(word));
  }
  tellTags(resource.tags, me.role !== "producer" && !asOf);
  byId("versions-button").hidden = entries.filter((entry) => entry.kind === "ended").length + (resource.status !== "closed") < 2;
  if (asOf) for (const node of byId("acting").querySelectorAll("[data-act], .hand-on, #versions-button")) node.hidden = true;
}

function wayBack() {
  const back = element("a", "", own("all"));
  back.href = "/";
  return back;
}
/** Write the words of the buttons, once the language is known. */
function prepare() {
  for (const node of document.querySelectorAll("[data-own]")) node.textContent = node.dataset.own === "close" ? page("close") : own(node.dataset.own);
  for (const button of document.querySelectorAll("[data-act]")) {
    button.textContent = own(button.dataset.act);
    button.addEventListener("click", () => ACTS[button.dataset.act]().catch(fail));
  }
  const person = element("a", "", own("person")), day = new Date(session.start_ms).toLocaleDateString("sv");  // As ISO 8601 has it.
  person.href = `/?${new URLSearchParams({ user: session.user_id, week: day })}`;
  document.querySelector(".kicker").replaceChildren(wayBack(), " · ", person);
  byId("why").textContent = own("why");
  byId("why").addEventListener("click", () => showReasons().catch(fail));
  byId("share-more").textContent = own("share_more");
  byId("share-more").addEventListener("click", () => makeShare().catch(fail));
  byId("versions-button").textContent = own("versions");
  byId("versions-button").addEventListener("click", () => showVersions().catch(fail));
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
