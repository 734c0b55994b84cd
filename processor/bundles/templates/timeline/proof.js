// Whether all messages are here, as they came: computed in the reader's browser.

const FAULTS_SHOWN = 5, BUSY_MS = 30;  // Between two such whiles the page does what its reader asks.
const isHash = (text) => /^[0-9a-f]{64}$/.test(text);
const bytesOf = (hex) => Uint8Array.from(hex.match(/../g), (digits) => parseInt(digits, 16));
const hexOf = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const came = (content) => (typeof content === "string" ? new TextEncoder().encode(content) : Uint8Array.from(atob(content[0]), (byte) => byte.charCodeAt(0)));

// The digest begins as the hash of the session's id; each message makes it the hash of itself and of the message's hash.
async function check(sessionId, proof, messages) {
  const faults = [], link = new Uint8Array(64);
  let digest = sha256(new TextEncoder().encode(sessionId)), expected = 1, checked = 0, begun = performance.now();
  for (const message of [...messages].sort((one, other) => one.number - other.number)) {
    if (performance.now() - begun > BUSY_MS) { await new Promise((done) => setTimeout(done)); begun = performance.now(); }
    const seq = message.number, { hash, isChecked, fault } = judged(message);
    if (seq > expected) faults.push(["proof_missing", { seq: expected, more: seq - expected - 1 || null }]);
    if (seq < expected) faults.push(["proof_doubled", { seq }]);
    if (fault) faults.push([fault, { seq }]);
    expected = seq + 1;
    checked += isChecked;
    if (!isHash(hash)) continue;
    link.set(digest);
    link.set(bytesOf(hash), 32);
    digest = sha256(link);
  }
  const held = messages.length;
  if (held !== proof.count) faults.push(["proof_count", { held, expected: proof.count }]);
  else if (!faults.length && !proof.digests.every((each) => each === hexOf(digest))) faults.push(["proof_digest", {}]);
  return { faults, held, checked, digest: hexOf(digest) };
}
function judged(message) {
  try {
    const { hash } = restOf(message), content = JSON.parse(message.content ?? "null");
    const isRight = isHash(hash) && (!content || hexOf(sha256(came(content))) === hash);
    return { hash, isChecked: Boolean(content), fault: !isRight ? "proof_changed" : isShown(message, content) ? null : "proof_shown" };
  } catch {  // It cannot even be read.
    return { hash: "", isChecked: false, fault: "proof_changed" };
  }
}
// Whether the fields that are shown are those that came. The session manager sets `session_id` right; Avro is not read here.
function isShown(message, content) {
  if (typeof content !== "string") return true;
  const whole = (key, value, at) => (typeof value === "number" && !Number.isFinite(value) ? at?.source ?? "" : value);
  const [, , , shape, ...values] = JSON.parse(message.rest, whole);
  const shown = Object.fromEntries(shapes[shape].map((name, index) => [name, values[index]]));
  const text = ({ session_id, ...fields }) => JSON.stringify(Object.keys(fields).sort().map((name) => [name, fields[name]]));
  return text(JSON.parse(content, whole)) === text(shown);
}

async function tellProof(sessionId, proof) {
  const badge = byId("proof");
  const tell = (...lines) => badge.replaceChildren(...lines.map(([phrase, values], index) => element(index ? "span" : "summary", "", fill({ phrase, values }))));
  badge.hidden = false;
  tell(["proof_runs", {}]);
  const { faults, held, checked, digest } = await check(sessionId, proof, entries.filter((entry) => entry.isMessage));
  const rest = held - checked, values = { held, expected: proof.count, rest: checked ? rest : null };
  badge.classList.add(faults.length ? "wrong" : "right");
  badge.open = faults.length > 0;
  if (faults.length > FAULTS_SHOWN) faults.splice(FAULTS_SHOWN, Infinity, ["proof_more", { count: faults.length - FAULTS_SHOWN }]);
  if (faults.length) tell(["proof_wrong", {}], ...faults);
  else tell([`proof_${rest ? "whole" : "right"}${proof.is_open ? "_open" : ""}`, values], [rest ? "proof_hashes" : "proof_contents", values], ["proof_digest_is", { digest }]);
}
