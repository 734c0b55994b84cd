"""Fetches Kafka's jars, once, and checks them against the pinned list in `jars.lock`.

jgo does the fetching. Its resolver is not asked which jars belong together: the list is pinned, so that every machine
runs the same bytes, and a jar with other bytes than those is never used.
"""

import errno
import hashlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from processor.broker.errors import FetchFailed
from processor.broker.places import cache_dir, require_space, told_of

KAFKA_VERSION = "4.3.0"
ATTEMPTS_MAX = 3
DOWNLOADS_MAX = 4
TIMEOUT_S = 20
SPARE_BYTES = 64 * 2**20

Progress = Callable[[int, int], None]
"""Called with the bytes fetched so far and the bytes to fetch, from several threads, one at a time."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned file."""

    group: str
    artifact: str
    version: str
    sha256: str
    size_bytes: int

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def pinned() -> list[Jar]:
    """Return the pinned jars, in the order of the list."""
    jars = []
    for line in Path(__file__).with_name("jars.lock").read_text("utf-8").splitlines():
        if line.startswith("#"):
            continue
        coordinate, sha256, size_bytes = line.split()
        group, artifact, version = coordinate.split(":")
        jars.append(Jar(group, artifact, version, sha256, int(size_bytes)))
    return jars


def classpath(progress: Progress | None = None) -> list[Path]:
    """Return the jars as files with the pinned bytes, fetching those that are missing.

    Raises:
        FetchFailed: no network, or the bytes are not the pinned ones.
        NoSpace: the disk is full.
        UsageError: the folder for them cannot be written.
    """
    folder = cache_dir() / f"kafka-{KAFKA_VERSION}"
    jars = pinned()
    missing = [jar for jar in jars if not is_pinned(folder / jar.file_name, jar)]
    if missing:
        _fetch_all(missing, folder, progress or (lambda _done, _total: None))
    return [folder / jar.file_name for jar in jars]


def is_pinned(path: Path, jar: Jar) -> bool:
    """Return whether the file is there with the pinned bytes."""
    if not path.is_file() or path.stat().st_size != jar.size_bytes:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256


def _fetch_all(jars: list[Jar], folder: Path, progress: Progress) -> None:
    total = sum(jar.size_bytes for jar in jars)
    done = 0
    lock = threading.Lock()

    def count(size_bytes: int) -> None:
        nonlocal done
        with lock:
            done = min(done + size_bytes, total)
            progress(done, total)

    with told_of(folder, setting="A3CP_CACHE_DIR"):
        folder.mkdir(parents=True, exist_ok=True)
        require_space(folder, total + SPARE_BYTES, setting="A3CP_CACHE_DIR")
        count(0)
        # A jar comes into the folder only when it is whole, so that an interrupted fetch leaves nothing to trip over.
        with tempfile.TemporaryDirectory(dir=folder, prefix="partial-") as partial:
            pool = ThreadPoolExecutor(DOWNLOADS_MAX, thread_name_prefix="fetch")
            try:
                for _ in pool.map(lambda jar: _fetch(jar, folder, Path(partial), count), jars):
                    pass
            finally:
                pool.shutdown(cancel_futures=True)


def _fetch(jar: Jar, folder: Path, partial: Path, count: Callable[[int], None]) -> None:
    """Fetch one jar, with some attempts, each from nothing."""
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            path = _download(jar, partial / f"{jar.artifact}-{attempt}", count)
        # jgo raises requests' errors, which are OSErrors, and RuntimeError for an answer other than 200.
        except (OSError, RuntimeError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
                raise
            if attempt == ATTEMPTS_MAX:
                raise FetchFailed(
                    f"Kafka {KAFKA_VERSION} could not be fetched ({jar.file_name}: {type(error).__name__})",
                    remedy="the first start of the embedded broker needs a network: try again with one, name a "
                    "mirror in jgo's settings ([repositories]), or use a Kafka of yours with KAFKA_BOOTSTRAP_SERVERS",
                ) from error
            continue
        if is_pinned(path, jar):
            path.replace(folder / jar.file_name)
            return
    raise FetchFailed(
        f"{jar.file_name} as fetched is not the pinned file (its SHA-256 differs)",
        remedy="something between here and the repository changes files: use another network or mirror",
    )


def _download(jar: Jar, repository: Path, count: Callable[[int], None]) -> Path:
    # Slow to import, and needed only for the first start.
    from jgo.config import GlobalSettings  # noqa: PLC0415
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415

    @contextmanager
    def progress(_name: str, _size_bytes: int) -> Iterator[Callable[[int], None]]:
        yield count

    shutil.rmtree(repository, ignore_errors=True)
    context = MavenContext(
        resolver=PythonResolver(progress_callback=progress),
        repo_cache=repository,
        remote_repos={**GlobalSettings.load().repositories, "central": MAVEN_CENTRAL_URL},
        timeout=TIMEOUT_S,
    )
    path = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    assert isinstance(path, Path)
    return path
