"""What a newcomer does: `make demo`, then `a3cp up`, and a look at the page while a message comes."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.broker.ups import Up, up
from tests.bundles.browser import Browser
from tests.cli.running import PROGRAM

pytestmark = [pytest.mark.broker, pytest.mark.long]

ROWS = "document.querySelectorAll('a.session')"
LINES = "document.querySelectorAll('.row')"


def attempt(running: Up, folder: Path) -> None:
    """Do what the line says that begins with `try`."""
    line = running.wait_for(lambda: re.search(r"^try +(.+)$", running.said(), re.MULTILINE))
    command = str(line[1]).replace("a3cp produce", f"{shlex.join(PROGRAM)} produce")
    done = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "sent 1 " in done.stdout) == (0, True), done.stderr


def test_the_demos_day_and_a_message_that_comes(kafka: str, topics: str, browser: Browser, tmp_path: Path) -> None:
    """The page shows the demo's day. A message that is sent appears in the list, then in its session."""
    environ = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": kafka}
    demo = [*PROGRAM, "demo", "--prefix", f"a3cp-demo-{topics}"]
    subprocess.run(demo, cwd=tmp_path, env=environ, capture_output=True, timeout=200, check=True)
    with up(tmp_path, kafka) as running:
        browser.open(running.url(), width=1280, height=900)
        browser.wait_for(f"{ROWS}.length === 21")
        assert "heron-07" in browser.run("document.querySelector('.sessions').textContent")
        attempt(running, tmp_path)
        browser.wait_for("document.querySelector('.fresh button')?.textContent === '1 new session'")
        browser.run("document.querySelector('.fresh button').click()")
        browser.wait_for(f"{ROWS}.length === 22 && {ROWS}[0].textContent.includes('first-try')")
        browser.run(f"{ROWS}[0].click()")
        hello = f"[...{LINES}].filter((line) => line.textContent.includes('hello')).length"
        browser.wait_for(f"{hello} === 1")
        attempt(running, tmp_path)
        browser.wait_for(f"{hello} === 2")
        assert browser.errors == []
        assert running.stop() == 0
