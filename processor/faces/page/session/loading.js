// The lines come from the service, part by part: at first all there are, then what is new whenever something has happened.

const LEAST_WAIT_MS = 50;   // between two times that it is asked for
const RETRY_MS = 2000;      // after it did not answer
const NEAR_PX = 40;        // of the end: the reader is there
let behind = [0, 0], position = null, isReading = false, isAsked = false, isFirstReading = true, unseen = 0;

/** Go and sign in, and come back here. */
function toSignIn() {
  location.assign(`/?back=${encodeURIComponent(location.search)}`);
}

/** Return the next part: its data and its lines. */
async function nextPart() {
  const { withQuery, refusalOf } = await service;
  const parameters = { after_seq: behind[0], after_event: behind[1], as_of: asOf };
  const response = await fetch(withQuery(`/page/sessions/${encodeURIComponent(sessionId)}`, parameters), { credentials: "same-origin" });
  if (response.status === 401) toSignIn();
  if (!response.ok) throw await refusalOf(response);
  position = response.headers.get("A3CP-Position");
  const lines = (await response.text()).split("\n"), data = JSON.parse(lines.pop());
  behind = data.next;
  return [data, lines];
}
/** Show a part; a reader at the end stays at the end, another is told of what is new. */
function take([data, lines]) {
  if (entries.length && data.after[0] + data.after[1] === 0) clear();  // It came anew as a whole.
  const atEnd = window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - NEAR_PX;
  const count = show(data, lines, data.is_more);
  offer(data);
  if (isFirstReading) startAtFirst();
  else if (count && atEnd) toEnd();
  else if (count) tellNew(count);
  isFirstReading &&= data.is_more;
}

/** Read all that there is behind what is shown; what happens meanwhile is read too. */
async function catchUp() {
  isAsked = true;
  if (isReading) return;
  isReading = true;
  try {
    while (isAsked) {
      isAsked = false;
      const part = await nextPart();
      isAsked ||= part[0].is_more;
      take(part);
      tellLine(true);
      await new Promise((done) => setTimeout(done, isAsked ? 0 : LEAST_WAIT_MS));
    }
  } catch (error) {
    if ((await service).isFinal(error)) fail(error);
    else { tellLine(false); setTimeout(catchUp, RETRY_MS); }
  } finally {
    isReading = false;
  }
}
/** Say whether the service answers: else nobody would know that what is shown may be old. */
function tellLine(isThere) {
  const lost = byId("lost");
  lost.textContent = isThere ? "" : lost.textContent || own("lost", { time: Date.now() });
}
async function fail(error) {
  const { refusalText } = await service;
  byId("wrong").textContent = refusalText(error, W.service);
}
/** The session is followed no longer. */
function onRefused(error) {
  if (error.status === 401) toSignIn();
  else fail(error);
}
/** Say why there is nothing to show, and lead back to where there is something. */
async function failToBegin(error) {
  if (error.status === 401) { toSignIn(); return; }
  const { ask, refusalText } = await service;
  chooseLanguage(await ask("/static/words.json"));
  document.title = byId("title").textContent = refusalText(error, W.service);
  document.querySelector(".kicker").replaceChildren(wayBack());
  document.querySelector("main").hidden = true;
}

function tellNew(count) {
  unseen += count;
  const button = byId("new-lines");
  button.hidden = false;
  button.textContent = own("new_lines", { count: unseen });
}
function toEnd() {
  unseen = 0;
  byId("new-lines").hidden = true;
  window.scrollTo(0, document.documentElement.scrollHeight);
}
window.addEventListener("scroll", () => {
  if (unseen && window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - NEAR_PX) toEnd();
}, { passive: true });

/** Show the session and follow it: from then on nothing that the service does not answer hides it, or ends the following. */
async function begin() {
  const { ask, follow: live } = await service;
  const [words, part, who, { door }] = await Promise.all([ask("/static/words.json"), nextPart(), ask("/page/me"), import("/static/door.js")]);
  me = who;
  start({ ...part[0], words });
  const button = element("button", "new-lines"), leaving = new AbortController();
  Object.assign(button, { id: "new-lines", type: "button", hidden: true });
  button.addEventListener("click", toEnd);
  document.body.append(button);
  take(part);
  prepare();
  document.querySelector(".kicker").append(...door(me, { signal: leaving.signal, ended: toSignIn }).flatMap((part) => [" ", part]));
  if (part[0].is_more) await catchUp();
  if (asOf) tellThen();
  else live(`${path}/live`, { parameters: { after: position }, signal: leaving.signal, onEvent: catchUp, onRefused, onLine: tellLine });
  addEventListener("pagehide", () => leaving.abort(), { once: true });
  offerBookmark();
  await showBookmarks().catch(fail);
  const find = new URLSearchParams(location.search).get("find");
  if (find) openAt(find);
}

/** Open the session at the first line that has the words that were searched for. */
function openAt(words) {
  search(words);
  const first = entries.find(isWanted);
  search("");
  if (first) goTo(first, { open: true });
}

begin().catch(failToBegin);
