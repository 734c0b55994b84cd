// Requests to the service. What is wrong comes back as a Refusal, in the service's own words.

export class Refusal extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    Object.assign(this, { status, code: problem.code, remedy: problem.remedy });
  }
}

/** Whether to ask again would not help: the service has answered, and will not say anything else soon. */
export const isFinal = (error) => error instanceof Refusal && error.status < 500 && error.status !== 429;

/** What went wrong, for people: the page's own words, by code, or else the service's, if it answered. */
export function refusalText(error, { refusals, find }) {
  if (!(error instanceof Refusal)) return find.away;
  return refusals[error.code] ?? [error.message, error.remedy].filter(Boolean).join(". ");
}

/** Ask the service; `parameters` go into the query, `body` is sent as JSON. What is asked again with its `key` is done once. Returns the JSON of the answer. */
export async function ask(path, { method = "GET", parameters, body, key, signal } = {}) {
  const headers = { "A3CP-Page": "1" };  // A write with the cookie alone is refused.
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key !== undefined) headers["Idempotency-Key"] = key;
  const response = await fetch(withQuery(path, parameters), {
    method, headers, signal, credentials: "same-origin", body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (response.ok) return response.status === 204 ? null : response.json();
  throw await refusalOf(response);
}

const SILENCE_MS = 45_000;  // Something comes every 15 s: a line that is silent for longer is broken, though nobody has told.

/** Follow server-sent events: `onEvent(name, data)` for each, until `signal` ends it. A broken line is taken up again; `onLine(isThere)` is told.
 * `onRefused(error)` is told that the service lets one follow no longer, as when a sign-in has ended while the device slept. */
export async function follow(path, { parameters, signal, onEvent, onRefused, onLine = () => {} }) {
  let last = null, pause = 500;
  while (!signal.aborted) {
    try {
      const headers = { Accept: "text/event-stream", ...(last === null ? {} : { "Last-Event-ID": last }) };
      const response = await fetch(withQuery(path, parameters), { headers, signal, credentials: "same-origin" });
      if (!response.ok) throw await refusalOf(response);
      onLine(true);
      for await (const event of eventsOf(response.body)) {
        pause = 500;
        if (event.id) last = event.id;
        if (event.data) onEvent(event.event, JSON.parse(event.data));
      }
    } catch (error) {
      if (signal.aborted) return;
      if (isFinal(error)) { onRefused(error); return; }
    }
    if (signal.aborted) return;
    onLine(false);
    await new Promise((done) => setTimeout(done, pause));
    pause = Math.min(pause * 2, 10_000);
  }
}

export function withQuery(path, parameters) {
  const query = new URLSearchParams(Object.entries(parameters ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== ""));
  return query.size ? `${path}?${query}` : path;
}

export async function refusalOf(response) {
  const problem = await response.json().catch(() => ({}));
  return new Refusal(response.status, problem);
}

async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "", event = {};
  for (;;) {
    const timer = setTimeout(() => reader.cancel(), SILENCE_MS);  // Then it is done.
    const { value, done } = await reader.read().finally(() => clearTimeout(timer));
    if (done) return;
    const lines = (text + value).split("\n");
    text = lines.pop();
    for (const line of lines) {
      if (line === "") {
        yield event;
        event = {};
      } else if (!line.startsWith(":")) {
        const [, name, told] = /^(\w+): ?(.*)$/.exec(line) ?? [];
        event[name] = name === "data" && "data" in event ? `${event.data}\n${told}` : told;
      }
    }
  }
}
