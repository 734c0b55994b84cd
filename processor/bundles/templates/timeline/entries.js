// What happened, and which lines it makes: filters, recordings and lines alike folded, silences and what is hidden told.

const IDLE_MS = 120000;  // a silence longer than this is one line
const FOLD_MIN = 3;      // lines alike from which on they are one
const RECORDING = new Set(["camera_starts", "camera_picture", "camera_stops", "movement_ready"]);
const LOUD_EVENTS = new Set(["rejected", "reopened"]);
const VOICES = ["user", "carer", "system"];
const RANKS = { started: 0, message: 1, ended: 3 };  // among what has the same time

let entries = [], rows = [], settled = null, made = 0, quiet = new Set();
const shapes = new Map();  // lists of names, each once, by their text
const filter = { voices: new Set(VOICES), text: "", notable: false, unfolded: new Set() };

// A line of the page's data: a head that every line needs, what only its details need, and the message as it came, for the proof.
function entryOf(line, names) {
  const [head, rest, content] = line.split("\t");
  const [kind, number, ms, voice, source, phrase, values, detail, notices, capture] = JSON.parse(head);
  const entry = { key: made, index: 0, kind, number, ms, voice, source, phrase, values, detail, notices, capture, isMessage: kind === "message", rest, content, names, loud: notices };
  made += 1;
  if (notices.length) entry.loud = notices.filter((word) => !quiet.has(word));
  if (LOUD_EVENTS.has(kind)) entry.loud = [...entry.loud, kind];
  return entry;
}
function namesOf(list) {
  const text = JSON.stringify(list);
  if (!shapes.has(text)) shapes.set(text, list);
  return shapes.get(text);
}
const rankOf = (entry) => RANKS[entry.kind] ?? 2;
const inTime = (one, other) => one.ms - other.ms || rankOf(one) - rankOf(other) || one.number - other.number;

/** Put what has come among what is there, in order of time; returns the index from which on it is another. */
function add(fresh) {
  fresh.sort(inTime);
  let from = entries.length;
  if (from && fresh.length && inTime(entries[from - 1], fresh[0]) > 0) {  // Something came late.
    while (from && inTime(entries[from - 1], fresh[0]) > 0) from -= 1;
    fresh = entries.splice(from).concat(fresh).sort(inTime);
  }
  for (const entry of fresh) {
    entry.index = entries.length;
    entries.push(entry);
  }
  return from;
}
// A number that this language cannot hold is shown as its text.
const exact = (key, value, at) => (typeof value !== "number" || Number.isSafeInteger(value) || Number.isFinite(value) && value % 1 ? value : at?.source ?? String(value));
const partsOf = ([recordedMs, hash, reasons, trace, shape, ...values], names) =>
  ({ recordedMs, hash, reasons, trace, record: Object.fromEntries(names[shape].map((name, index) => [name, values[index]])) });
const restOf = (entry) => partsOf(/\d{16}/.test(entry.rest) ? JSON.parse(entry.rest, exact) : JSON.parse(entry.rest), entry.names);
const anchor = (entry) => (entry.isMessage ? `seq=${entry.number}` : `event=${entry.number}`);
const wordsOf = (entry) => fill(entry) + (entry.detail ? `: ${entry.detail}` : "");
const flagsOf = (entry) => entry.loud.map((word) => (LOUD_EVENTS.has(word) && !Object.hasOwn(W.flags, word) ? readable(word) : readable(flagText(word))));

function isWanted(entry) {
  if (entry.voice !== "session" && !filter.voices.has(entry.voice)) return false;
  if (filter.notable && entry.isMessage && !entry.loud.length) return false;
  return !filter.words || filter.words.every((word) => word.test(wordsOf(entry)) || word.test(entry.rest) || word.test(entry.source) || word.test(flagsOf(entry).join()));
}
function search(text) {
  filter.text = text;
  const words = text.split(/\s+/).filter(Boolean);
  filter.words = words.length ? words.map((word) => new RegExp(word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "iu")) : null;
}
const isFiltered = () => Boolean(filter.text || filter.notable || filter.voices.size < VOICES.length);

function alike(one, other) {
  if (one.loud.length || other.loud.length || one.voice !== other.voice) return false;
  if (RECORDING.has(one.phrase) && one.capture) return RECORDING.has(other.phrase) && other.capture === one.capture;
  if (one.phrase !== other.phrase || one.source !== other.source || one.detail !== other.detail) return false;
  if (!one.isMessage && one.kind !== "unchanged") return false;
  return one.phrase === "camera_picture" || fill(one) === fill(other);
}
const isRecording = (members) => members.length > 1 && RECORDING.has(members[0].phrase) && Boolean(members[0].capture) && !members[0].loud.length;
function foldedWords(members) {
  const first = members[0], last = members[members.length - 1];
  const words = first.phrase === "camera_picture" ? fill({ phrase: first.phrase, values: {} }) : wordsOf(first);  // Each has a number of its own.
  if (!isRecording(members)) return fill({ phrase: "alike", values: { count: members.length, words } });
  const pictures = members.filter((each) => each.phrase === "camera_picture").length;
  return fill({ phrase: "recording", values: { length: last.ms - first.ms || null, pictures: pictures || null, label: first.values.label } });
}

/** Make the rows anew; those before the last run of lines stay where nothing before `from`, an entry's index, has changed. Returns how many entries are shown, and the first row that is new. */
function layOutRows(from = 0) {
  const stays = settled !== null && from > settled.entry.index;
  let hidden = 0, run = stays ? [settled.entry] : [], before = stays ? settled.entry : null, shown = stays ? settled.shown : 0;
  rows.length = stays ? settled.rows : 0;
  const first = rows.length;
  if (!stays) settled = null;
  const close = () => {
    if (isRecording(run) || run.length >= FOLD_MIN) {
      const key = `fold${run[0].key}`, open = filter.unfolded.has(key);
      rows.push({ type: "fold", key, entry: run[0], members: run, open });
      if (open) for (const entry of run) rows.push({ type: "entry", entry, key: `e${entry.key}`, fold: key });
    } else for (const entry of run) rows.push({ type: "entry", entry, key: `e${entry.key}` });
    run = [];
  };
  const tellHidden = (index) => {
    if (!hidden) return;
    close();
    rows.push({ type: "hidden", count: hidden, first: entries[index - hidden], key: `hidden${entries[index - hidden].key}` });
    hidden = 0;
  };
  for (let index = stays ? settled.entry.index + 1 : 0; index < entries.length; index += 1) {
    const entry = entries[index], last = entries[index - 1];
    if (!isWanted(entry)) { hidden += 1; continue; }
    const isDay = before && dayKey(before.ms) !== dayKey(entry.ms);
    const isSilence = !hidden && last && entry.ms - last.ms > IDLE_MS;
    if (hidden || isDay || isSilence || (run.length && !alike(run[run.length - 1], entry))) close();
    tellHidden(index);
    if (isSilence) rows.push({ type: "idle", from: last.ms, to: entry.ms, key: `idle${entry.key}` });
    if (isDay) rows.push({ type: "day", ms: entry.ms, key: `day${entry.key}` });
    shown += 1;
    if (!run.length) settled = { entry, rows: rows.length, shown };
    run.push(entry);
    before = entry;
  }
  close();
  tellHidden(entries.length);
  for (let index = first; index < rows.length; index += 1) rows[index].index = index;
  return { shown, first };
}
const isNotable = (row) => row.type === "entry" && (row.entry.loud.length > 0 || !row.entry.isMessage);
const hasEntry = (row, entry) => row.entry === entry || (row.type === "fold" && row.members.includes(entry));
