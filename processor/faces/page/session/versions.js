// How the session stood whenever its end was told: two versions side by side, and what came between them.

const NEW_SHOWN = 50;

/** Return the versions, oldest first: one for each end that was told, and one for now when more has come since. */
async function readVersions() {
  const { ask } = await service, { ends } = await ask(`${path}/audit`);
  const told = entries.filter((entry) => entry.kind === "ended").sort((one, other) => one.number - other.number);
  const versions = ends.slice(0, told.length).map((end, index) => ({
    name: own("version", { number: index + 1, when: Date.parse(end.told_at) }), at: end.position, end: Date.parse(end.end_time),
    reason: end.reason, count: end.message_count, digest: end.digest, events: told[index].number,
  }));
  const last = versions.at(-1), isClosed = session.end_ms !== null;
  const messages = entries.filter((entry) => entry.isMessage).length, events = entries.length - messages;
  if (!last || messages > last.count || events > last.events) {
    versions.push({ name: own("version_now"), at: null, end: session.end_ms, reason: isClosed ? last.reason : null, count: messages, digest: null, events });
  }
  return versions;
}
const isIn = (version, entry) => entry.number <= (entry.isMessage ? version.count : version.events);

/** Return the digest over the first `count` messages. */
async function digestUntil(count) {
  let digest = sha256(new TextEncoder().encode(session.session_id)), begun = performance.now();
  for (const message of entries.filter((entry) => entry.isMessage && entry.number <= count).sort((one, other) => one.number - other.number)) {
    if (performance.now() - begun > BUSY_MS) { await new Promise((done) => setTimeout(done)); begun = performance.now(); }
    digest = chained(digest, restOf(message).hash);
  }
  return hexOf(digest);
}

async function showVersions() {
  const versions = await readVersions(), selects = [byId("version-before"), byId("version-after")];
  selects.forEach((select, side) => {
    select.replaceChildren(...versions.map((version, index) => new Option(version.name, index)));
    select.value = Math.max(0, versions.length - 2 + side);
    select.onchange = () => compare(...selects.map((each) => versions[each.value]));
  });
  await compare(...selects.map((each) => versions[each.value]));
  byId("versions").showModal();
}

/** Set two versions side by side. */
async function compare(one, other) {
  const [before, after] = one.events <= other.events ? [one, other] : [other, one];
  const row = (name, cells) => {
    const made = element("tr"), head = element("th", "", name);
    head.scope = "row";
    made.append(head, ...cells.map((cell) => { const data = said("td"); data.append(cell); return data; }));
    return made;
  };
  const each = (make) => [make(before), make(after)];
  const proven = await Promise.all([before, after].map(async (version) => (version.digest ? await digestUntil(version.count) === version.digest : null)));
  const heads = element("tr");
  heads.append(element("td"), ...each((version) => { const head = element("th", "", version.name); head.scope = "col"; return head; }));
  byId("versions-table").replaceChildren(heads,
    row(own("version_ended"), each((version) => (version.end ? moment(version.end) : own("version_goes_on")))),
    row(own("version_why"), each((version) => (version.reason ? told(version.reason, "ends") : "–"))),
    row(own("version_messages"), each((version) => number(version.count))),
    row(own("version_proof"), proven.map((is) => (is === null ? "–" : own(is ? "version_right" : "version_wrong")))),
    row("", each(thenLink)));
  byId("versions-changes").replaceChildren(...changes(before, after).map((change) => {
    const line = element("li");
    line.append(change);
    return line;
  }));
}
const moment = (ms) => told(ms, "time");
function thenLink(version) {
  const link = element("a", "", own(version.at ? "version_see" : "version_see_now"));
  link.href = `/?${new URLSearchParams({ session: sessionId, ...(version.at ? { as_of: version.at } : {}) })}`;
  return link;
}

/** Return what is different, in words: of lines that are new, links to them. */
function changes(before, after) {
  const fresh = entries.filter((entry) => isIn(after, entry) && !isIn(before, entry)), found = [];
  if (before.end && !after.end) found.push(own("version_end_gone", { before: before.end }));
  else if (before.end && after.end !== before.end) found.push(own("version_end_moved", { before: before.end, after: after.end }));
  const lastMs = entries.reduce((most, entry) => (isIn(before, entry) && entry.kind !== "ended" ? Math.max(most, entry.ms) : most), 0);
  const among = fresh.filter((entry) => entry.isMessage && entry.ms < lastMs).length;
  found.push(own("version_new", { lines: fresh.length }));
  if (among) found.push(own("version_among", { lines: among }));
  found.push(own("version_gone"));
  return [...found, ...fresh.slice(0, NEW_SHOWN).map(lineLink), ...(fresh.length > NEW_SHOWN ? [own("version_more", { lines: fresh.length - NEW_SHOWN })] : [])];
}
function lineLink(entry) {
  const link = said("a", "", `${clock(entry.ms)} ${wordsOf(entry)}`);
  link.href = address(entry);
  link.addEventListener("click", () => byId("versions").close());
  return link;
}

/** Say that this is not the session as it is now, and lead there. */
function tellThen() {
  const note = element("p", "notice", own("then"));
  note.append(" ", thenLink({ at: null }));
  byId("acting").prepend(note);
}
byId("versions-time").addEventListener("submit", (event) => {
  event.preventDefault();
  location.assign(`/?${new URLSearchParams({ session: sessionId, as_of: new Date(byId("versions-at").value).toISOString() })}`);
});
