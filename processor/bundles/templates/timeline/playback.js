// Playback: the lines one after the other, as time went; silences are told and not waited for.

const SPEEDS = [1, 4, 16];
const WAIT_MS = [250, 2500];  // at least and at most between two lines
let playing = null, speed = 4;

function play(on) {
  clearTimeout(playing);
  playing = null;
  byId("play").textContent = on ? "⏸" : "▶";
  byId("play").setAttribute("aria-label", page(on ? "pause" : "play"));
  byId("playing").textContent = on ? page("playing") : "";
  if (on) next();
}
function next() {
  const index = selected ? selected.index : -1;
  if (index + 1 >= rows.length) { play(false); return; }
  select(index + 1, { link: false });
  byId("playing").textContent = selected.entry ? `${page("playing")}, ${clock(selected.entry.ms)}` : between(selected);
  const ahead = rows[index + 2];
  const wait = selected.entry && ahead?.entry ? (ahead.entry.ms - selected.entry.ms) / speed : WAIT_MS[1] / 2;
  playing = setTimeout(next, Math.min(WAIT_MS[1], Math.max(WAIT_MS[0], wait)));
}
function step(by) { select(selected ? selected.index + by : 0); }
function stepNotable(by) {
  let index = selected ? selected.index : -1;
  for (index += by; index >= 0 && index < rows.length; index += by) if (isNotable(rows[index])) { select(index); return; }
}
byId("play").addEventListener("click", () => play(playing === null));
byId("previous").addEventListener("click", () => { play(false); step(-1); });
byId("next").addEventListener("click", () => { play(false); step(1); });
byId("next-notable").addEventListener("click", () => { play(false); stepNotable(1); });
byId("speed").addEventListener("click", (event) => {
  speed = SPEEDS[(SPEEDS.indexOf(speed) + 1) % SPEEDS.length];
  event.currentTarget.lastChild.textContent = ` ${speed}×`;
});
