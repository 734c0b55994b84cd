// Whether all messages are here, as they came: computed in the reader's browser.

const FAULTS_SHOWN = 5, BUSY_MS = 30;  // Between two such whiles the page does what its reader asks.
const isHash = (text) => /^[0-9a-f]{64}$/.test(text);
const bytesOf = (hex) => Uint8Array.from(hex.match(/../g), (digits) => parseInt(digits, 16));
const hexOf = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const came = (content) => (typeof content === "string" ? new TextEncoder().encode(content) : Uint8Array.from(atob(content[0]), (byte) => byte.charCodeAt(0)));

// The digest begins as the hash of the session's id; each message makes it the hash of itself and of the message's hash.
// What has come is added to it, in order; once all is here it is compared with what the session's end tells, or its row.
let chain = null;
function beginProof() {
  chain = { digest: null, expected: 1, held: 0, checked: 0, faults: [], waiting: [], at: 0, runs: false, proof: undefined };
}
const link = new Uint8Array(64);
function chained(digest, hash) {
  link.set(digest);
  link.set(bytesOf(hash), 32);
  return sha256(link);
}
function advance(message) {
  const seq = message.number, { hash, isChecked, fault } = judged(message);
  if (seq > chain.expected) chain.faults.push(["proof_missing", { seq: chain.expected, more: seq - chain.expected - 1 || null }]);
  if (seq < chain.expected) chain.faults.push(["proof_doubled", { seq }]);
  if (fault) chain.faults.push([fault, { seq }]);
  chain.expected = seq + 1;
  chain.held += 1;
  chain.checked += isChecked;
  if (isHash(hash)) chain.digest = chained(chain.digest, hash);
}
/** Return what is wrong, now that all is here. */
function faultsOf({ faults, held, digest, proof }) {
  if (held !== proof.count) return [...faults, ["proof_count", { held, expected: proof.count }]];
  const isRight = faults.length > 0 || proof.digests.every((each) => each === hexOf(digest));
  return isRight ? faults : [["proof_digest", {}]];
}
/** Check what has come. `proof`: what must come out; undefined while more is to come, null where nothing can be proven. */
async function prove(sessionId, proof, fresh) {
  if (!chain) beginProof();
  const mine = chain, messages = fresh.filter((entry) => entry.isMessage);
  mine.digest ??= sha256(new TextEncoder().encode(sessionId));
  mine.proof = proof;
  mine.waiting = mine.waiting.slice(mine.at).concat(messages).sort((one, other) => one.number - other.number);
  mine.at = 0;
  if (mine.runs) return;
  mine.runs = true;
  let begun = performance.now();
  const isNext = (message) => message && (mine.proof !== undefined || message.number <= mine.expected);  // One that came early waits.
  while (isNext(mine.waiting[mine.at])) {
    if (performance.now() - begun > BUSY_MS) {
      tellProof([["proof_runs", { messages: mine.held }]]);
      await new Promise((done) => setTimeout(done));
      if (chain !== mine) return;
      begun = performance.now();
    }
    advance(mine.waiting[mine.at++]);
  }
  mine.runs = false;
  if (mine.proof) tellProof(verdict(mine), faultsOf(mine).length ? "wrong" : "right");
  else tellProof(mine.proof === undefined ? [["proof_runs", { messages: mine.held }]] : []);
}
function judged(message) {
  try {
    const { hash } = restOf(message), content = JSON.parse(message.content || "null");
    const isRight = isHash(hash) && (!content || hexOf(sha256(came(content))) === hash);
    const fault = !isRight ? "proof_changed" : isShown(message, content) ? null : "proof_shown";
    if (message.content) release(message);
    return { hash, isChecked: Boolean(content), fault };
  } catch {  // It cannot even be read.
    return { hash: "", isChecked: false, fault: "proof_changed" };
  }
}
// What was checked is not needed again. A part of a text keeps the whole text in memory; a copy does not.
function release(message) {
  message.content = "";
  message.rest = ` ${message.rest}`.slice(1);
}
// Whether the fields that are shown are those that came. The session manager sets `session_id` right, and a person is shown
// for each of their lanes; Avro is not read here.
const personOf = (userId) => (typeof userId === "string" ? userId.replace(/~[0-9a-f]{8}$/, "") : userId);
const whole = (key, value, at) => (typeof value === "number" && !Number.isFinite(value) ? at?.source ?? "" : value);
const wholly = (text) => (/[eE]\+?\d{3}|\d{309}/.test(text) ? JSON.parse(text, whole) : JSON.parse(text));  // Few have such numbers, and it takes longer.
function isShown(message, content) {
  if (typeof content !== "string") return true;
  const shown = partsOf(wholly(message.rest), message.names).record;
  const text = ({ session_id, user_id, ...fields }) => JSON.stringify([personOf(user_id), ...Object.keys(fields).sort().map((name) => [name, fields[name]])]);
  return text(wholly(content)) === text(shown);
}


function verdict(done) {
  const faults = faultsOf(done), { held, checked, proof } = done, rest = held - checked;
  const values = { held, expected: proof.count, rest: checked ? rest : null };
  if (!faults.length) return [[`proof_${rest ? "whole" : "right"}${proof.is_open ? "_open" : ""}`, values], [rest ? "proof_hashes" : "proof_contents", values], ["proof_digest_is", { digest: hexOf(done.digest) }]];
  const more = faults.length - FAULTS_SHOWN;
  return [["proof_wrong", {}], ...faults.slice(0, FAULTS_SHOWN), ...(more > 0 ? [["proof_more", { count: more }]] : [])];
}
/** Say it: what is said first is in sight. What is neither right nor wrong yet has no colour. */
function tellProof(lines, how = "") {
  const badge = byId("proof");
  badge.className = `proof ${how}`.trim();
  badge.hidden = lines.length === 0;
  if (how === "wrong") badge.open = true;
  badge.replaceChildren(...lines.map(([phrase, values], index) => element(index ? "span" : "summary", "", fill({ phrase, values }))));
}
