"""Does all that a release does, but publish: `make rehearse`. It ends at the first thing that is not ready.

What is built is what git has. What is run is what pip installs from it, in an empty folder, with an empty home.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from scripts.build import archived, built
from tests.upgrades.meaning import meaning_of

ROOT: Final = Path(__file__).parents[1]
OURS: Final = "a3cp-session-manager"
CARRIED: Final = ("docs", "examples", "ops", "schemas", "topics")
OF_OURS: Final = ("A3CP_", "KAFKA_", "MAKE", "OTEL_", "PYTHON", "SCHEMA_REGISTRY_", "VIRTUAL_ENV", "XDG_")
PATIENCE_S: Final = 180.0


class NotReady(Exception):
    """Something is missing."""


def main() -> int:
    """Rehearse; return the exit code."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    try:
        with tempfile.TemporaryDirectory(prefix="a3cp-rehearsal-") as folder:
            rehearse(version, Path(folder))
    except NotReady as error:
        print(f"not ready: {error}", file=sys.stderr)
        return 1
    print(f"{version} is ready")
    return 0


def rehearse(version: str, folder: Path) -> None:
    """Go through all of it, in `folder`.

    Raises:
        NotReady: something is missing.
    """
    step("what stands in the tree")
    check_tree(version)
    step("building twice")
    wheel = build_twice(folder)
    step("installing into an empty environment, with its dependencies")
    place = Place(folder, wheel)
    step("what came along")
    check_carried(place, version, folder / "first")
    step("a3cp demo")
    place.a3cp("demo", "--down")
    step("a3cp up")
    check_up(place)


def step(what: str) -> None:
    """Say what comes."""
    print(f"==> {what}", flush=True)


def need(is_so: bool, what: str) -> None:
    """Go on only if it is so."""
    if not is_so:
        raise NotReady(what)


def check_tree(version: str) -> None:
    """Check what is to be done by hand before a release. Raises NotReady."""
    need(
        re.fullmatch(r"\d+\.\d+\.\d+", version) is not None,
        f"pyproject.toml has the version {version}: give it three numbers",
    )
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    need(headings[0] in ("Unreleased", version), f"CHANGELOG.md begins with {headings[0]}, not with {version}")
    frozen = ROOT / "schemas" / "released" / version
    need(
        contents(frozen) == contents(ROOT / "schemas" / "avro"),
        f"copy schemas/avro/*.avsc to schemas/released/{version}/",
    )
    need(is_recorded(version), f"what is recorded of {version} is not what is stored today: make record")
    if git("status", "--porcelain"):
        print("    what git does not have yet is left out")


def is_recorded(version: str) -> bool:
    """Return whether the recording of this version says all that one of today would say."""
    recording = ROOT / "tests" / "upgrades" / version
    if not recording.is_dir():
        return False
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(recording, copy, dirs_exist_ok=True)
        return bool(meaning_of(Path(copy)) == json.loads((recording / "meaning.json").read_text("utf-8")))


def contents(folder: Path) -> Mapping[str, bytes]:
    """Return the files of a folder."""
    return {path.name: path.read_bytes() for path in folder.glob("*.avsc")}


def git(*arguments: str) -> str:
    """Return what git says."""
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def build_twice(folder: Path) -> Path:
    """Build sdist and wheel in two places; return the wheel. Raises NotReady."""
    revision = git("rev-parse", "HEAD").strip()
    both = []
    for name in ("first", "second"):
        target = folder / f"{name}-dist"
        target.mkdir()
        files = built(archived(revision, ROOT, folder / name), target)
        both.append({file.name: sha256(file.read_bytes()).hexdigest() for file in files})
    need(both[0] == both[1], f"built twice, the bytes differ: {both}")
    for name, digest in both[0].items():
        print(f"    {digest}  {name}")
    return next((folder / "first-dist").glob("*.whl"))


class Place:
    """An empty environment with the wheel in it, an empty home and an empty folder to work in."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.work: Final = folder / "work"
        self.bin: Final = folder / "venv" / "bin"
        home = folder / "home"
        for each in (self.work, home):
            each.mkdir()
        # What leads to the network stays; what leads to us, or to what runs here, goes.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OF_OURS)}
        self.environ: Final = {**kept, "HOME": str(home), "PATH": f"{self.bin}:/usr/local/bin:/usr/bin:/bin"}
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        pip = [str(self.bin / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, f"{OURS}[all] @ file://{wheel}"], check=True, cwd=self.work)

    def run(self, *command: str) -> str:
        """Run a command; return what it prints. Raises NotReady if it fails."""
        done = subprocess.run(
            command, cwd=self.work, env=self.environ, capture_output=True, text=True, timeout=900, check=False
        )
        need(
            done.returncode == 0,
            f"{' '.join(command)} ended with {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}",
        )
        return done.stdout

    def a3cp(self, *arguments: str) -> str:
        """Run an installed command. Raises as `run`."""
        return self.run(str(self.bin / "a3cp"), *arguments)


def check_carried(place: Place, version: str, tree: Path) -> None:
    """Check the version, and that the documents and other files of `tree` came along. Raises NotReady."""
    need(place.a3cp("--version").strip() == version, "a3cp --version says another version")
    package = Path(place.run(str(place.bin / "python"), "-c", "import processor; print(processor.__path__[0])").strip())
    need(package.is_relative_to(place.bin.parent), f"{package} is not what was installed")
    files = [path for name in CARRIED for path in (tree / name).rglob("*") if path.is_file()]
    missing = [path for path in files if not (package / "_data" / path.relative_to(tree)).is_file()]
    need(not missing, f"these did not come along: {missing[:5]}")
    print(f"    {len(files)} files of {', '.join(CARRIED)}")


def check_up(place: Place) -> None:
    """Start everything, send the message that it says to try, and see it in a session. Raises NotReady."""
    with started(place) as log:

        def said(word: str) -> str | None:
            found = re.search(rf"^{word}\s+(.*)$", log.read_text("utf-8"), re.MULTILINE)
            return found and found[1]

        await_it("a3cp up says what to try", lambda: said("try"), log)
        url = str(said("service")).split(",")[0]
        page = urllib.request.urlopen(url, timeout=30).read()
        need(b"<title>" in page, f"{url} has no page")
        place.run("bash", "-c", str(said("try")))
        await_it("the message is in a session", lambda: "first-try" in sessions(url), log)
        print(f"    {url} answers, and shows the session")


@contextmanager
def started(place: Place) -> Any:
    """Run `a3cp up`, and yield the file that has what it says. Raises NotReady if it does not stop well."""
    log = place.work / "up.log"
    command = [str(place.bin / "a3cp"), "up", "--port", "0", "--data-dir", "everything"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=place.work, env=place.environ, stdout=output, stderr=output)
    try:
        yield log
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(PATIENCE_S)
    need(code == 0, f"a3cp up ended with {code}\n{log.read_text('utf-8')[-3000:]}")


def sessions(url: str) -> str:
    """Return what the service lists; nothing while it does not answer."""
    with suppress(OSError):
        found = json.loads(urllib.request.urlopen(f"{url}/v1/sessions", timeout=30).read())
        return json.dumps(found)
    return ""


def await_it(what: str, is_so: Callable[[], object], log: Path) -> None:
    """Wait until it is so. Raises NotReady."""
    until_s = time.monotonic() + PATIENCE_S
    while not is_so():
        need(time.monotonic() < until_s, f"waited in vain until {what}\n{log.read_text('utf-8')[-3000:]}")
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
