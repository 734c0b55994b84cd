// The lines come from the service: at first, and again whenever something has happened. What is on screen stays there.

const LEAST_WAIT_MS = 100;  // between two times that they are asked for; a long session, which takes long, is asked for less often
let position = null, lastMs = 0, waitingFor = 0;

async function loaded() {
  const began = performance.now();
  const response = await fetch(`/page/sessions/${encodeURIComponent(sessionId)}`, { credentials: "same-origin" });
  if (response.status === 401) location.assign("/");
  if (!response.ok) throw new Error((await response.json()).detail);
  position = response.headers.get("A3CP-Position");
  const lines = (await response.text()).split("\n"), data = JSON.parse(lines.pop());
  lastMs = performance.now() - began;
  return [data, lines];
}

/** Show the lines anew: the same one stays selected, and a reader at the end stays at the end. */
async function renew() {
  waitingFor = 0;
  const { ask } = await service;
  const [[data, lines], resource] = await Promise.all([loaded(), ask(path)]);
  const chosen = selected?.entry && anchor(selected.entry), before = entries.length;
  const atEnd = window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 40;
  show(data, lines);
  selected = chosen ? rows.find((row) => row.entry && anchor(row.entry) === chosen) ?? null : null;
  mark();
  offer(resource);
  if (entries.length === before) return;
  if (atEnd) window.scrollTo(0, document.documentElement.scrollHeight);
  else tellNew(entries.length - before);
}

let unseen = 0;
function tellNew(count) {
  unseen += count;
  const button = byId("new-lines");
  button.hidden = false;
  button.textContent = own("new_lines", { count: unseen });
}
function toNew() {
  unseen = 0;
  byId("new-lines").hidden = true;
  window.scrollTo(0, document.documentElement.scrollHeight);
}

function happened() {
  waitingFor ||= setTimeout(() => renew().catch(fail), Math.max(LEAST_WAIT_MS, 3 * lastMs));
}

function fail(error) {
  byId("wrong").textContent = error.message;
}

async function begin() {
  const { ask, follow } = await service;
  const [words, told, resource, who] = await Promise.all([ask("/static/words.json"), loaded(), ask(path), ask("/page/me")]);
  me = who;
  start({ ...told[0], words }, told[1]);
  prepare();
  offer(resource);
  const button = element("button", "new-lines");
  Object.assign(button, { id: "new-lines", type: "button", hidden: true });
  button.addEventListener("click", toNew);
  document.body.append(button);
  const find = new URLSearchParams(location.search).get("find");
  if (find) openAt(find);
  const leaving = new AbortController();
  addEventListener("pagehide", () => leaving.abort(), { once: true });
  follow(`${path}/live`, { parameters: { after: position }, signal: leaving.signal, onEvent: happened });
}

/** Open the session at the first line that has the words that were searched for. */
function openAt(words) {
  search(words);
  const first = entries.find(isWanted);
  search("");
  if (first) goTo(first, { open: true });
}

begin().catch((error) => {
  document.title = byId("title").textContent = error.message;
  if (error.status === 401) location.assign("/");
});
