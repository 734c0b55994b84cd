// The operators' corner: what waits, what was set aside and how it is put back, the outbox, what runs. It keeps itself current.

import { announce, make } from "/static/elements.js";
import { ask } from "/static/http.js";
import { number, span } from "/static/said.js";
import { dayOf, problemOf, say, timeOf } from "/static/words.js";

const EVERY_MS = 10_000;
const MIB = 1 << 20;

/** Show how everything stands, and look again every few seconds while somebody sees it. */
export async function showCorner({ main, signal }) {
  const state = make("p", { class: "soft" }), parts = make("div", { class: "corner" });
  main.append(make("h1", {}, say("corner.title")), state, parts);
  let shown = null;

  async function look() {
    const { at, ...told } = await ask("/v1/operations", { signal });
    state.textContent = say("corner.as_of", { time: timeOf(at) });
    const same = JSON.stringify(stillPart(told));
    if (same !== shown) replace(parts, sections(told));
    else refreshWaits(parts, told);
    shown = same;
  }

  await look();
  (async () => {
    for (;;) {
      await anyOf(signal);
      if (signal.aborted) return;
      if (document.hidden) continue;
      try {
        await look();
      } catch (error) {
        if (signal.aborted) return;
        state.textContent = `${problemOf(error)} ${say("corner.old")}`;
      }
    }
  })();
}

/** Wait a while; until the reader comes back to the page, or leaves it for another part. */
const anyOf = (signal) => new Promise((done) => {
  setTimeout(done, EVERY_MS);
  signal.addEventListener("abort", done, { once: true });
  document.addEventListener("visibilitychange", done, { once: true });
});

/** What is compared: numbers that change by themselves, as seconds do, move nothing on the page. */
const stillPart = (told) => ({ ...told, service: null, exporter: null, processor: told.processor && { ...told.processor, records: 0, seconds: 0 } });

function refreshWaits(parts, told) {
  parts.querySelector(".waits").replaceWith(waits(told));
}

/** Show new parts; the button that had the focus has it again. */
function replace(parts, made) {
  const focused = parts.contains(document.activeElement) ? document.activeElement.dataset.copies : null;
  parts.replaceChildren(...made);
  if (focused) [...parts.querySelectorAll("[data-copies]")].find((one) => one.dataset.copies === focused)?.focus();
}

function sections(told) {
  const wrong = [...told.reasons, ...(told.processor?.troubles ?? [])];
  return [
    wrong.length ? make("ul", { class: "notice" }, wrong.map((each) => make("li", {}, each))) : make("p", { class: "well" }, say("corner.well")),
    told.warnings.length ? make("ul", { class: "soft" }, told.warnings.map((each) => make("li", {}, each))) : null,
    section("waiting", plain(say("corner.waiting_what")), waits(told), partitions(told.processor?.partitions ?? [])),
    section("letters", letters(told)),
    section("outbox", outbox(told)),
    section("versions", versions(told.versions)),
  ].filter(Boolean);
}

const section = (name, ...children) => make("section", {}, make("h2", {}, say(`corner.${name}`)), children.flat());
const plain = (words) => make("p", {}, words);

function table(heads, rows, attributes = {}) {
  return make("table", { class: "sums", ...attributes }, make("thead", {}, make("tr", {}, heads.map((head) => make("th", { scope: "col" }, head)))),
    make("tbody", {}, rows.map(([name, ...cells]) => make("tr", {}, make("th", { scope: "row" }, name), cells.map((cell) => make("td", {}, cell))))));
}

/** Why a part cannot be told; what stands above already is not said again. */
function whyOf(told, part) {
  const why = told.unknown[part];
  return told.reasons.includes(why) ? say("corner.not_known") : why;
}

/** Who has how much to read still. */
function waits(told) {
  const more = {
    processor: (part) => say("corner.workers", { count: part.workers }),
    exporter: (part) => (part.following === null ? "" : say("corner.following", { count: part.following })),
    service: () => "",
  };
  const row = (name) => {
    const part = told[name], why = whyOf(told, name) ?? (part === null && name === "exporter" ? say("corner.no_store") : "");
    if (part === null) return [say(`corner.${name}`), "", "", why];
    const waited = part.seconds === null ? say("corner.not_known") : part.records ? span(part.seconds * 1000) : "";
    return [say(`corner.${name}`), number(part.records), waited, [more[name](part), why].filter(Boolean).join(". ")];
  };
  return table([say("corner.who"), say("corner.records"), say("corner.waited"), ""], ["processor", "exporter", "service"].map(row), { class: "sums waits" });
}

function partitions(behind) {
  if (!behind.length) return null;
  const heads = [say("corner.partition"), say("corner.records"), say("corner.worker")];
  return table(heads, behind.map((one) => [String(one.partition), number(one.records),
    [one.slot === null ? say("corner.nobody") : say("corner.slot", { slot: one.slot }), one.stands_still ? say("corner.still") : ""].filter(Boolean).join(", ")]));
}

const STAGES = ["decode", "validate", "size", "hook"];
const stageOf = (group) => (STAGES.includes(group.stage) ? say(`corner.stage_${group.stage}`) : group.stage);

function letters(told) {
  if (told.dead_letters === null) return plain(whyOf(told, "dead_letters"));
  const { groups } = told.dead_letters;
  if (!groups.length) return plain(say("corner.no_letters"));
  return [plain(say("corner.letters_what")), make("ol", { class: "letters" }, groups.map((group) => make("li", {},
    make("h3", {}, make("bdi", {}, group.why)),
    group.remedy ? make("p", {}, make("bdi", {}, group.remedy)) : null,
    make("p", { class: "soft" }, stageOf(group), " ", say("corner.letter", { count: group.count, status: say(`corner.status_${group.status}`), day: dayOf(group.latest), time: timeOf(group.latest), position: group.position })),
    group.command ? command(group.command) : plain(say("corner.send_anew")))))];
}

/** A command, with a button that copies it; where the browser does not allow that, it is selected. */
function command(text) {
  const code = make("code", { tabindex: 0 }, text);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      announce(say("corner.copied"));
      button.textContent = say("corner.copied");
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = say("corner.selected");
    }
    setTimeout(() => { button.textContent = say("corner.copy"); }, 4000);
  };
  const button = make("button", { type: "button", "data-copies": text, "aria-label": say("corner.copy_what", { command: text }), click: copy }, say("corner.copy"));
  return make("div", { class: "command" }, code, button);
}

function outbox(told) {
  const box = told.outbox;
  if (box === null) return plain(say("corner.no_outbox"));
  const full = make("meter", { min: 0, max: box.size_bytes_max, value: box.size_bytes, "aria-label": say("corner.full") });
  const size = say("corner.size", { used: number(Math.ceil(box.size_bytes / MIB)), room: number(Math.round(box.size_bytes_max / MIB)) });
  return make("div", {},
    plain(say(box.kafka_is_away ? "corner.away" : "corner.there")),
    make("p", {}, full, ` ${say("corner.kept", { count: box.records })} ${size}`),
    box.oldest_since === null ? null : plain(say("corner.oldest", { day: dayOf(box.oldest_since), time: timeOf(box.oldest_since), limit: box.age_ms_max })),
    box.refused ? plain(say("corner.refused", { count: box.refused })) : null);
}

const versions = (told) => make("dl", { class: "versions" }, Object.entries(told).flatMap(([name, value]) => [make("dt", {}, say(`corner.${name}`)), make("dd", {}, String(value))]));
