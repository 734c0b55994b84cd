"""The page of one session in a Chromium: how soon it opens, and how it scrolls; the CPU of page and server apart.

    python -m bench.page [--messages 200000]

It opens a bundle's page and the served one.
The service stands on a log in memory, so nothing but the page and the service is measured. It needs Chromium.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from bench.machine import Others
from processor.bundles.page import page
from processor.codec.isotime import format_time
from processor.sessions.forms.timeline import spooled
from processor.settings.model import Settings
from tests.bundles.browser import Browser, Chromium
from tests.served import InMemory, served
from tests.sessions.views import varied

WINDOW: Final = {"width": 1440, "height": 900}
USER: Final = "heron-07"
_SCROLLS: Final = 40
_OPENS_S: Final = 600.0
_HAS_LINES: Final = "document.querySelectorAll('.row').length > 5"
_WHOLE: Final = "document.querySelector('#proof.right, #proof.wrong')"
_SCROLL: Final = f"""(async () => {{
  const frames = [];
  for (let i = 1; i <= {_SCROLLS}; i += 1) {{
    const begun = performance.now();
    scrollTo(0, document.documentElement.scrollHeight * ((i * 0.618) % 1));
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    frames.push([performance.now() - begun, document.querySelectorAll('.row').length]);
  }}
  return frames;
}})()"""


def main() -> None:
    """Measure what was asked for, and print it as JSON, a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000, help="of the session that is opened")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="a3cp-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with running(folder) as service, Chromium(folder) as chromium, chromium.page() as browser:
            browser.call("Performance.enable", timeDomain="threadTicks")
            for told in opened(service, browser, folder, options.messages):
                print(json.dumps(told), flush=True)


@contextmanager
def running(folder: Path) -> Iterator[InMemory]:
    """Serve a deployment in memory with a store of its own."""
    with served(folder, Settings(store_url=f"sqlite:///{folder / 'a3cp.db'}")) as service:
        yield service


def opened(service: InMemory, browser: Browser, folder: Path, count: int) -> Iterator[dict[str, Any]]:
    """Yield how a session of `count` messages opens, from a bundle and from the service."""
    session_id = stored(service, count)
    deployment = service.deployment
    held = deployment.view.session(session_id)
    assert held is not None
    file = folder / "timeline.html"
    file.write_bytes(b"".join(page(held.row, spooled(held.view, deployment.codec))))
    for name, address in (("bundle", file.as_uri()), ("served", f"{service.url}/?session={session_id}")):
        yield {"page": name, "messages": count, **_opening(browser, address)}


def stored(service: InMemory, count: int) -> str:
    """Put a session of so many messages into the log and into the store; return its id."""
    deployment = service.deployment
    with httpx.Client(base_url=service.url) as http:
        session_id = str(http.post("/v1/sessions", json={"user_id": USER, "parallel": False}).json()["session_id"])
    begun_ms = deployment.clock.now_ms()
    for number, content in enumerate(varied(count)):
        record_id = f"{number:08x}-0000-4000-8000-000000000000"
        told = {
            "schema_version": "1.0.1",
            "record_id": record_id,
            "user_id": USER,
            "timestamp": format_time(begun_ms + number),
        }
        deployment.broker.produce("raw", USER, json.dumps({**told, **content}).encode())
    deployment.run()
    deployment.export()
    return session_id


def _opening(browser: Browser, address: str) -> dict[str, Any]:
    """Return what opening a page took: seconds until lines are seen, until all of it is read and proven, and CPU."""
    others, server_s, begun_s = Others(), time.process_time(), time.monotonic()
    browser.call("Page.navigate", url="about:blank")
    browser.call("Emulation.setDeviceMetricsOverride", deviceScaleFactor=1, mobile=False, **WINDOW)
    begun_s, server_s = time.monotonic(), time.process_time()
    browser.call("Page.navigate", url=address)
    seen = _taken(browser, _HAS_LINES, begun_s, server_s, every_s=0.01)
    scrolled = [took for took, rows in browser.run(_SCROLL) if rows]
    whole = _taken(browser, _WHOLE, begun_s, server_s, every_s=0.5)  # To ask takes CPU of both.
    again = sorted(took for took, _ in browser.run(_SCROLL))
    return {
        "until_seen": seen,
        "until_whole": whole,
        "scroll_ms": {"while_it_loads": _mid(scrolled), "whole_median": _mid(again), "whole_worst": round(again[-1])},
        "heap_mib": round(metrics(browser)["JSHeapUsedSize"] / 2**20),
        "nodes": metrics(browser)["Nodes"],
        "others_cores": others.cores(),
        "load": os.getloadavg()[0],
    }


def _mid(values: list[float]) -> int:
    return round(sorted(values)[len(values) // 2])


def _taken(browser: Browser, condition: str, begun_s: float, server_s: float, *, every_s: float) -> Any:
    """Wait for `condition`; return the seconds that passed, and the CPU seconds of the page and of the server."""
    while not browser.run(f"Boolean({condition})"):
        assert time.monotonic() - begun_s < _OPENS_S, f"it is not there: {condition}; {browser.errors}"
        time.sleep(every_s)
    page_s = metrics(browser)["TaskDuration"]
    return {
        "s": round(time.monotonic() - begun_s, 2),
        "page_cpu_s": round(page_s, 2),
        "server_cpu_s": round(time.process_time() - server_s, 2),
    }


def metrics(browser: Browser) -> dict[str, float]:
    """Return what Chromium measures of the page, by its names."""
    return {each["name"]: each["value"] for each in browser.call("Performance.getMetrics")["metrics"]}


if __name__ == "__main__":
    main()
