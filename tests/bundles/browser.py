"""A Chromium for tests, spoken to over a pipe (the DevTools protocol), and axe-core, the checker of accessibility."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha512
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NO_CHROMIUM = "no Chromium here (on Debian the package chromium)"
TIMEOUT_S = 60.0
AXE = "axe-core@4.10.3"  # MPL-2.0; fetched for the test, never part of what we ship
AXE_SHA512 = "Xm7bpRXnDSX2YE2YFfBk2FnF0ep6tmG7xPh8iHee8MIcrgq762Nkce856dYtJYLkuIoYZvGfTs/PbZhideTcEg=="
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "End": 35, "Home": 36, "ArrowUp": 38, "ArrowDown": 40}


class Navigated(Exception):
    """The page went to another before it had answered."""


class Chromium:
    """A headless Chromium. It is slow to start, so that a run shares one; `page` gives what tests may not share."""

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM is not None
        self._number = 0
        self._answers: dict[int, Any] = {}
        self._pages: dict[str, Browser] = {}
        self._rest = b""
        ours = [os.pipe(), os.pipe()]
        self._out, self._in = ours[0][1], ours[1][0]
        flags = (
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
            "--disable-ipc-flooding-protection",  # Else more than 200 changes of the address in 10 s are not made.
            "--hide-scrollbars", f"--user-data-dir={folder / 'browser'}", "--remote-debugging-pipe",
        )  # fmt: skip
        # Chromium reads from 3 and writes to 4; what starts it puts the pipes' ends there, from far above.
        theirs = [fcntl.fcntl(number, fcntl.F_DUPFD, 10) for number in (ours[0][0], ours[1][1])]
        place = f"import os, sys; os.dup2({theirs[0]}, 3); os.dup2({theirs[1]}, 4); os.execv(sys.argv[1], sys.argv[1:])"
        start = [sys.executable, "-c", place, CHROMIUM, *flags, "about:blank"]
        with (folder / "browser.log").open("ab") as log:
            self._process = subprocess.Popen(start, pass_fds=theirs, stdout=log, stderr=log)
        for number in (ours[0][0], ours[1][1], *theirs):
            os.close(number)

    @contextmanager
    def page(self) -> Iterator["Browser"]:
        """Open a page with cookies and storage of its own."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._pages[session] = Browser(self, session)
        yield self._pages[session]
        del self._pages[session]
        self.call("Target.disposeBrowserContext", browserContextId=context)

    def call(self, method: str, session: str | None = None, **params: Any) -> Any:
        """Call a method of the protocol, of a page's session or of the browser, and return its result."""
        self._number += 1
        number = self._number
        told = {"id": number, "method": method, "params": params, **({"sessionId": session} if session else {})}
        data = memoryview(json.dumps(told).encode() + b"\0")
        while data:
            data = data[os.write(self._out, data) :]
        self.wait(method, lambda: number in self._answers)
        answer = self._answers.pop(number)
        if answer.get("error", {}).get("message") == "Inspected target navigated or closed":
            raise Navigated(method)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def wait(self, what: str, condition: Callable[[], object]) -> None:
        """Read what Chromium says until `condition` holds."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while not condition():
            assert time.monotonic() < deadline_s, f"Chromium did not answer within {TIMEOUT_S:.0f} s: {what}"
            self._read(0.1)

    def _read(self, timeout_s: float) -> None:
        if not select.select([self._in], [], [], timeout_s)[0]:
            return
        data = os.read(self._in, 1 << 20)
        assert data, "Chromium has ended, see browser.log"
        *whole, self._rest = (self._rest + data).split(b"\0")
        for text in whole:
            told = json.loads(text)
            if "id" in told:
                self._answers[told["id"]] = told
            elif told.get("sessionId") in self._pages:
                self._pages[told["sessionId"]].note(told["method"], told["params"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        os.close(self._in)
        os.close(self._out)


class Browser:
    """A page in a Chromium; its errors and its requests to anywhere but its file are kept."""

    def __init__(self, chromium: Chromium, session: str) -> None:
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.bytes_taken = 0  # from the network since a page was opened
        self._chromium = chromium
        self._session = session
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)  # As for somebody who looks at it.

    def call(self, method: str, **params: Any) -> Any:
        """Call a method of the protocol and return its result."""
        return self._chromium.call(method, self._session, **params)

    def open(self, page: Path | str, *, width: int, height: int, fragment: str = "") -> None:
        """Show `page`, a file or an address, in a window of this size."""
        url = page if isinstance(page, str) else page.as_uri()
        is_phone = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=is_phone
        )
        self.call("Page.navigate", url="about:blank")  # So that a fragment alone opens the page anew.
        self.errors.clear()
        self.requests.clear()
        self.bytes_taken = 0
        self.call("Page.navigate", url=f"{url}{fragment}")
        self.wait_for("document.readyState === 'complete' && location.protocol !== 'about:'")
        self.settle()

    def run(self, script: str) -> Any:
        """Return the value of `script`, or that of the promise that it is."""
        done = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until `condition`, a script, is true."""
        self._chromium.wait(condition, lambda: self._told(f"Boolean({condition})"))

    def settle(self) -> None:
        """Wait until what was asked for is drawn, be it on a page that it leads to."""
        drawn = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
        self._chromium.wait("it is drawn", lambda: self._told(drawn))

    def _told(self, script: str) -> Any:
        try:
            return self.run(script)
        except Navigated:
            return None  # It was asked of the page before.

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, as a person does."""
        for key in keys:
            code = KEYS.get(key) or ord(key.upper())
            text = "\r" if key == "Enter" else key if len(key) == 1 else ""
            told = {"key": key, "windowsVirtualKeyCode": code, **({"text": text} if text else {})}
            self.call("Input.dispatchKeyEvent", type="keyDown", **told)
            self.call("Input.dispatchKeyEvent", type="keyUp", **told)
        self.settle()

    def screenshot(self, path: Path) -> None:
        """Write what the window shows."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def pdf(self) -> bytes:
        """Return the page as printed."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    def note(self, event: str, told: Any) -> None:
        """Keep what an event tells."""
        if event == "Runtime.exceptionThrown":
            self.errors.append(str(told["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled":
            self.errors.append(str(told["args"]))
        elif event == "Log.entryAdded":
            self.errors.append(str(told["entry"]))
        elif event == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif event == "Network.loadingFinished":
            self.bytes_taken += int(told["encodedDataLength"])


def axe_script(folder: Path) -> str | None:
    """Return axe-core's script, fetched by npm and compared with its hash; None where that cannot be had."""
    npm = shutil.which("npm")
    if npm is None:
        return None
    command = [npm, "pack", "--silent", "--ignore-scripts", AXE]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return None
    found = list(folder.glob("axe-core-*.tgz"))
    if done.returncode != 0 or not found:
        return None
    digest = base64.b64encode(sha512(found[0].read_bytes()).digest()).decode()
    assert digest == AXE_SHA512, f"{AXE} is not what it was: {digest}"
    with tarfile.open(found[0]) as archive:
        file = archive.extractfile("package/axe.min.js")
        assert file is not None
        return file.read().decode()
