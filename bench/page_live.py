"""A page that follows a running session: how soon a message is on screen, and what memory that takes as time passes.

    python -m bench.page_live [--minutes 10 --rate 10] [--url http://127.0.0.1:8080]

Without an address it serves a log in memory. A message counts from the time at which its tagged record was written, as
the log has it, until the page has drawn it. Heap and nodes are read after a collection of garbage.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx

from bench.machine import Others
from bench.page import metrics, running
from processor.codec.isotime import parse_time
from tests.bundles.browser import Browser, Chromium

SAMPLES: Final = 10
_EXPORT_S: Final = 5.0
_NOTE_SEEN: Final = """
window.seen = {};
const note = () => {
  for (const row of document.querySelectorAll('.row')) {
    const number = /word (\\d+)\\./.exec(row.textContent)?.[1];
    if (number) seen[number] ??= Date.now();
  }
};
new MutationObserver(() => requestAnimationFrame(note)).observe(document.getElementById('list'), { childList: true });
"""


def main() -> None:
    """Follow a session, and print what it took as JSON, a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=10.0, help="messages a second; people make about one")
    parser.add_argument("--url", help="of a service that runs")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        url, export = options.url, None
        if url is None:
            service = stack.enter_context(running(folder))
            url, export = service.url, service.deployment.export
        browser = stack.enter_context(stack.enter_context(Chromium(folder)).page())
        for told in followed(url, export, browser, options.minutes * 60, options.rate):
            print(json.dumps(told), flush=True)


def followed(
    url: str, export: Callable[[], None] | None, browser: Browser, seconds: float, rate: float
) -> Iterator[dict[str, Any]]:
    """Yield what a page holds now and then while a session runs, and at last how soon its messages were seen."""
    others = Others()
    with httpx.Client(base_url=url, timeout=60) as http:
        session_id = http.post("/v1/sessions", json={"user_id": "bench-live"}).raise_for_status().json()["session_id"]
        _say(http, session_id, 0)
        browser.call("Performance.enable", timeDomain="threadTicks")
        browser.open(f"{url}/?session={session_id}", width=1440, height=900)
        browser.wait_for("document.querySelectorAll('.row').length > 1")
        browser.run(f"{_NOTE_SEEN}; 0")
        talk = threading.Thread(target=_talk, args=(http, session_id, seconds, rate, export))
        begun_s, page_s = time.monotonic(), metrics(browser)["TaskDuration"]
        talk.start()
        for _ in range(SAMPLES):
            time.sleep(max(0.0, seconds / SAMPLES - 0.5))
            yield {"after_s": round(time.monotonic() - begun_s), **_held(browser)}
        talk.join()
        browser.settle()
        page_s = metrics(browser)["TaskDuration"] - page_s
        timeline = http.get(f"/v1/sessions/{session_id}/timeline").json()["timeline"]
    seen = browser.run("seen")
    took = sorted(
        seen[number] - parse_time(entry["recorded_at"])
        for entry in timeline
        if (number := str(entry["values"].get("text", "")).removeprefix("word ").rstrip(".")) in seen and number != "0"
    )
    share = [took[min(len(took) - 1, len(took) * part // 1000)] for part in (500, 950, 990, 999)]
    yield {
        "seen": len(took),
        "page_cpu_ms_a_line": round(page_s * 1000 / max(1, len(took)), 1),
        "seen_ms": dict(zip(("50", "95", "99", "99.9"), share, strict=True)),
        "others_cores": others.cores(),
        "load": round(os.getloadavg()[0], 1),
    }


def _talk(http: httpx.Client, session_id: str, seconds: float, rate: float, export: Callable[[], None] | None) -> None:
    begun_s = exported_s = time.monotonic()
    for number in range(1, int(seconds * rate) + 1):
        time.sleep(max(0.0, begun_s + number / rate - time.monotonic()))
        _say(http, session_id, number)
        if export is not None and time.monotonic() - exported_s > _EXPORT_S:
            export()
            exported_s = time.monotonic()


def _say(http: httpx.Client, session_id: str, number: int) -> None:
    body = {"source": "output_planner", "output_phrase": f"word {number}.", "output_mode": "speech"}
    http.post(f"/v1/sessions/{session_id}/messages", json=body).raise_for_status()


def _held(browser: Browser) -> dict[str, Any]:
    browser.call("HeapProfiler.collectGarbage")
    told = metrics(browser)
    lines = browser.run("document.querySelector('.row').ariaSetSize")
    return {
        "lines": int(lines),
        "heap_kib": round(told["JSHeapUsedSize"] / 1024),
        "nodes": told["Nodes"],
        "listeners": told["JSEventListeners"],
    }


if __name__ == "__main__":
    main()
