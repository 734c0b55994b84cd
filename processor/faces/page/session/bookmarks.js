// Moments that somebody marked: listed above the timeline, starred in it, and added by the reader.

const BOOKMARK_CHARS_MAX = 255;
const MOMENT_CHARS_MAX = 160;  // of a line's words, where they stand for the moment

/** Mark the chosen line; where none is chosen, what happened last in a session that still runs. */
async function bookmark() {
  const entry = selected?.entry ?? (session.end_ms === null ? entries[entries.length - 1] : null);
  if (!entry) {
    byId("wrong").textContent = own("bookmark_choose");
    return;
  }
  const question = own("bookmark_what", { time: clock(entry.ms), words: momentOf(entry) });
  const place = { [entry.isMessage ? "seq" : "event"]: entry.number };
  const mark = (text) => act("bookmarks", { ...place, ...(text ? { text: text.replace(/\s+/g, " ") } : {}) });
  if (await write(question, { yes: own("add_bookmark"), charsMax: BOOKMARK_CHARS_MAX, mayBeEmpty: true }, mark)) await showBookmarks();
}

/** Show what is marked, in the order of the session. */
async function showBookmarks() {
  const { ask } = await service;
  const { bookmarks } = await ask(`${path}/bookmarks`);
  const found = bookmarks.map((each) => ({ ...each, place: each.seq ? `seq=${each.seq}` : `event=${each.event}` }));
  const places = new Map(entries.map((entry) => [anchor(entry), entry]));
  const at = (each) => places.get(each.place)?.index ?? entries.length;
  byId("bookmarks").hidden = !found.length;
  byId("bookmarks-list").replaceChildren(...found.sort((one, two) => at(one) - at(two)).map((each) => lineOfBookmark(each, places.get(each.place))));
  starred.clear();
  for (const each of found) starred.add(each.place);
  place();
}

function lineOfBookmark({ text, performer_id: who, place }, entry) {
  const line = element("li"), link = said("a", "", entry ? `${clock(entry.ms)} ${momentOf(entry)}` : `#${place}`);
  link.href = `#${place}`;
  link.addEventListener("click", (event) => {  // The address may be the same as before.
    if (!entry) return;
    event.preventDefault();
    goTo(entry, { open: true });
    list.focus({ preventScroll: true });
  });
  line.append(link);
  if (text) line.append(" – ", said("bdi", "", text));
  if (who) line.append(" ", said("small", "", who));
  return line;
}

function momentOf(entry) {
  const words = wordsOf(entry);
  return words.length > MOMENT_CHARS_MAX ? `${words.slice(0, MOMENT_CHARS_MAX - 1)}…` : words;
}

/** Offer it beside the details too: on a phone they cover the other buttons. */
function offerBookmark() {
  const button = element("button", "bookmark", own("bookmark"));
  button.type = "button";
  button.hidden = document.querySelector("[data-act=bookmark]").hidden;
  button.addEventListener("click", () => bookmark().catch(fail));
  detailsBody.before(button);
}

document.addEventListener("keydown", (event) => {
  const isFree = event.target === list || event.target === document.body;
  if (event.key !== "b" || event.ctrlKey || event.metaKey || event.altKey || !isFree || byId("help").open) return;
  if (document.querySelector("[data-act=bookmark]").hidden) return;
  event.preventDefault();
  bookmark();
});
