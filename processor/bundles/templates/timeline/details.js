// All of one line: first in plain words, then the record itself.

const SPINE = new Set(["schema_version", "record_id", "user_id", "timestamp", "session_id", "capture_id", "entry_id"]);
const TECHNICAL = new Set(["kind", "reason", "revision", "digest", "start_time", "end_time", "command_record_id", "previous_session_id", "event",
  "modality", "source", "performer_id", "raw_features_ref", "model_ref", "encoder_ref", "segment_id", "stream_segment_id", "sequence_id", "frame_index"]);
const details = byId("details"), detailsBody = byId("details-body");

const address = (entry) => new URL(`#${anchor(entry)}`, location.href).href;
function pair(dl, name, value) {
  if (value === null || value === undefined || value === "") return;
  dl.append(said("dt", "", name), said("dd", "", value));
}
function flat(value, path, out, depth = 0) {
  if (out.length > 80 || value === null) return;
  if (typeof value === "object" && depth < 5) {
    if (Array.isArray(value) && value.every((item) => item === null || typeof item !== "object")) out.push([path, value.join(", ")]);
    else for (const key of Object.keys(value)) flat(value[key], path ? `${path} › ${readable(key)}` : readable(key), out, depth + 1);
  } else if (typeof value === "number" && / \(ms\)$/.test(path)) {
    if (value) out.push([path.slice(0, -5), span(value)]);
  } else out.push([path, value === true ? W.yes : value === false ? W.no : typeof value === "object" ? JSON.stringify(value) : String(value)]);
}
function heading(name) { detailsBody.append(element("h3", "", page(name))); }
function showDetails(row) {
  details.hidden = false;
  detailsBody.replaceChildren();
  if (row.type === "entry") showEntry(row.entry);
  else if (row.type === "fold") {
    const last = row.members[row.members.length - 1], button = element("button", "", page(row.open ? "fold" : "unfold"));
    button.type = "button";
    button.addEventListener("click", () => toggleFold(row));
    detailsBody.append(said("h2", "", foldedWords(row.members)), element("p", "", `${page("folded", { lines: row.members.length })}. ${page("from_to", { from: clock(row.entry.ms), to: clock(last.ms) })}`), button);
  } else {
    detailsBody.append(element("h2", "", between(row)));
    if (row.type === "idle") detailsBody.append(element("p", "", `${page("from_to", { from: clock(row.from), to: clock(row.to) })} ${page("quiet")}`));
  }
  details.scrollTop = 0;
}
function showEntry(entry) {
  const { record, reasons, recordedMs, hash, trace } = restOf(entry);
  detailsBody.append(said("h2", "", fill(entry)));
  const facts = element("dl"), performer = record.performer_id && record.performer_id !== "system" ? ` (${record.performer_id})` : "";
  pair(facts, page("when"), `${clock(entry.ms)}, ${day(entry.ms)}`);
  pair(facts, page("who"), (entry.voice === "session" ? (performer ? who("carer") : page("manager")) : who(entry.voice)) + performer);
  if (entry.isMessage && entry.source) pair(facts, page("told_by"), told(entry.source, "modules").replace(/_/g, " "));
  if (entry.isMessage) pair(facts, page("message"), page("number", { seq: entry.number }));
  detailsBody.append(facts);
  if (entry.notices.length) {
    heading("worth_knowing");
    const ul = element("ul");
    for (const word of entry.notices) {
      const li = element("li"), sentence = Object.hasOwn(W.flags, word) ? `. ${W.flags[word][1]}` : "";
      const why = word === "nonconforming" ? (reasons || []).map((reason) => told(reason, "reasons")).join("; ") : "";
      li.append(element("b", "", readable(flagText(word))), document.createTextNode(sentence + (why ? ` ${page("why")}: ${why}.` : "")));
      ul.append(li);
    }
    detailsBody.append(ul);
  }
  const pairs = [];
  for (const key of Object.keys(record)) if (!SPINE.has(key) && !TECHNICAL.has(key) && !key.startsWith("session_")) flat(record[key], readable(key), pairs);
  if (record.session_notes) pairs.unshift([page("notes"), record.session_notes]);
  if (pairs.length) {
    heading("says");
    const dl = element("dl");
    for (const [name, value] of pairs) pair(dl, name, value);
    detailsBody.append(dl);
  }
  const others = entry.capture ? entries.filter((other) => other !== entry && other.capture === entry.capture && other.phrase !== "camera_picture") : [];
  if (others.length) {
    heading("same_recording");
    const ul = element("ul");
    for (const other of others.slice(0, 40)) {
      const li = element("li"), a = said("a", "", `${clock(other.ms)} ${fill(other)}`);
      a.href = address(other);
      li.append(a);
      ul.append(li);
    }
    detailsBody.append(ul);
  }
  const developers = element("details"), dl = element("dl"), link = element("a", "", `${page("link")}: #${anchor(entry)}`);
  developers.append(element("summary", "", page("developers")));
  pair(dl, "UTC", new Date(entry.ms).toISOString());
  pair(dl, page("recorded"), new Date(recordedMs).toISOString());
  for (const key of SPINE) pair(dl, key, record[key]);
  pair(dl, "SHA-256", hash);
  pair(dl, page("trace"), trace);
  developers.append(dl, element("pre", "", JSON.stringify(record, null, 2)));
  developers.lastChild.tabIndex = 0;
  link.href = address(entry);
  detailsBody.append(developers, element("p"));
  detailsBody.lastChild.append(link);
}
function hideDetails() { details.hidden = true; list.focus({ preventScroll: true }); }
