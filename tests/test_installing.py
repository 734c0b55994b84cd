"""What pip installs: the base without any extra, what needs one says so, and what is printed is there."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from hashlib import sha256
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from processor.bundles.bundle import write_bundle
from processor.cli.extras import MODULES
from processor.targets.target import Target
from scripts.build import built
from tests.sessions.views import CODEC, NOW_MS, day_view
from tests.wheels import OURS, installed

ROOT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
BASE_MB_MAX = 90
pytestmark = pytest.mark.long  # Each way of installing takes its time.
A3cp = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, from the sdist as registries do."""
    return built(ROOT, tmp_path_factory.mktemp("built"))[1]


@pytest.fixture(scope="module")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what is installed without an extra."""
    return installed(wheel, tmp_path_factory.mktemp("base"))


@pytest.fixture
def environ(base: Path, tmp_path: Path) -> dict[str, str]:
    """Return an environment in which the installed command is found, and no Kafka."""
    kept = {name: value for name, value in os.environ.items() if name != "KAFKA_BOOTSTRAP_SERVERS"}
    return {**kept, "PATH": f"{base / 'bin'}:{kept['PATH']}", "A3CP_BROKER_DIR": str(tmp_path / "broker")}


@pytest.fixture
def a3cp(environ: dict[str, str], tmp_path: Path) -> A3cp:
    """Return what runs the installed command, in an empty folder."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        every = {**environ, **environment}
        command = [shutil.which("a3cp", path=every["PATH"]) or "", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=every, capture_output=True, text=True, timeout=60, check=False)

    return run


def python(site: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run `program` with the packages of `site`."""
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, '{site}'); {program}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_who_builds_it_again_gets_the_same_bytes(tmp_path: Path) -> None:
    """In another folder, of files with other times and rights."""
    folders = tmp_path / "first", tmp_path / "second"
    first = built(ROOT, folders[0])
    other = tmp_path / "other"
    shutil.unpack_archive(first[0], other, filter="data")
    (tree,) = other.iterdir()
    for path in tree.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700 if path.is_dir() else 0o600)
    second = built(tree, folders[1])
    assert [path.name for path in first] == [path.name for path in second]
    assert [sha256(path.read_bytes()).hexdigest() for path in first] == [
        sha256(path.read_bytes()).hexdigest() for path in second
    ]


def test_the_extras_are_those_of_the_project() -> None:
    """Each package of an extra is known by the module that it brings; `all` has all."""
    brought_by = packages_distributions()
    for extra, modules in MODULES.items():
        packages = {canonicalize_name(Requirement(text).name) for text in EXTRAS[extra]} - {OURS}
        bring = [set(map(canonicalize_name, brought_by[module])) & packages for module in modules]
        assert packages == set().union(*bring)
        assert all(bring)
    assert EXTRAS["all"] == [f"{OURS}[{','.join(MODULES)}]"]
    assert f"{OURS}[all]" in EXTRAS["dev"]


def test_the_base_is_small(base: Path) -> None:
    """Without an extra all packages together take tens of MB: no Java, no Arrow, no database."""
    assert not any((base / module).exists() for modules in MODULES.values() for module in modules)
    files = (Path(folder) / name for folder, _, names in os.walk(base, followlinks=True) for name in names)
    size = sum(file.stat().st_size for file in files if file.suffix != ".pyc")
    assert size < BASE_MB_MAX * 10**6


@pytest.mark.parametrize(
    ("arguments", "extras"),
    [
        ("broker up", "broker"),
        ("demo", "broker,export"),
        ("export", "export"),
        ("sessions list", "export"),
        ("retention --older-than 400d --yes", "export"),
    ],
)
def test_a_command_says_which_extra_it_needs(a3cp: A3cp, arguments: str, extras: str) -> None:
    """In one line, with what to type, and exit code 2; no traceback."""
    result = a3cp(*arguments.split(), A3CP_CACHE_DIR="/nonexistent")
    words = f"the {extras} extra" if "," not in extras else f"the extras {extras.replace(',', ' and ')}"
    install = f"pip install '{OURS}[{extras}]'"
    assert result.stderr == f"error: a3cp {arguments.split(maxsplit=1)[0]} needs {words}; install it: {install}\n"
    assert result.returncode == 2


def test_postgresql_is_an_extra_of_its_own(wheel: Path, a3cp: A3cp, tmp_path: Path) -> None:
    """With `export` alone a store is SQLite's; one in PostgreSQL names the extra that it needs."""
    path = f"{installed(wheel, tmp_path / 'site', 'export') / 'bin'}:{os.environ['PATH']}"
    assert "no store at a3cp.db" in a3cp("sessions", "list", PATH=path).stderr
    result = a3cp("sessions", "list", "--store", "postgresql://127.0.0.1:1/x", PATH=path)
    assert (result.returncode, result.stderr) == (
        2, f"error: a3cp sessions needs the postgres extra; install it: pip install '{OURS}[postgres]'\n"
    )  # fmt: skip


def test_files_that_need_arrow_are_refused(base: Path) -> None:
    """A file that only an extra can unpack is told as such, like others that cannot be read."""
    program = (
        "import io; from processor.intake.forms import opened; opened(io.BytesIO(b'\\x28\\xb5\\x2f\\xfd....'), 'a.zst')"
    )
    told = python(base, program).stderr.splitlines()[-1]
    assert told.endswith(f"Refused: to unpack zstd needs the export extra; install it: pip install '{OURS}[export]'")


def test_what_needs_no_extra_works(a3cp: A3cp, base: Path) -> None:
    """Help, settings, files and a Kafka that is away are met as ever; so is what an application imports."""
    for command in ("process", "export", "retention", "erase", "broker"):
        assert "Usage: a3cp" in a3cp(command, "--help").stdout
    away = a3cp("session", "start", "elias01", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert away.stderr.startswith("error: no Kafka broker answers at 127.0.0.1:1")
    doctor = a3cp("doctor", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert [line.split()[:2] for line in doctor.stdout.splitlines()] == [["WRONG", "broker"], ["unseen", "store"]]
    assert (doctor.returncode, doctor.stderr) == (1, "")
    imported = python(
        base, "from processor.client import SessionClient; from processor.codec import SHIPPED, Codec, Schemas"
    )
    assert (imported.stderr, imported.returncode) == ("", 0)


def test_the_public_package(base: Path) -> None:
    """Without an extra a service elsewhere can be asked; one in one's own process names the extra that it needs."""
    assert python(base, "from a3cp_sessions import Sessions; Sessions('http://127.0.0.1:1').close()").returncode == 0
    told = python(base, "from a3cp_sessions import Sessions; Sessions('kafka://127.0.0.1:1')").stderr.splitlines()[-1]
    assert "a service in one's own process needs the serve extra" in told
    assert f"pip install '{OURS}[serve]'" in told


def test_bundles_are_verified_without_an_extra(a3cp: A3cp, tmp_path: Path) -> None:
    """Who receives bundles needs neither a database nor Arrow to check them."""
    write_bundle(Target(str(tmp_path / "bundles")), day_view("heron-07"), CODEC, now_ms=NOW_MS)
    result = a3cp("verify", "bundles")
    assert (result.returncode, result.stderr) == (0, "")
    assert "1 bundle: 1 sound, 0 broken" in result.stdout


@pytest.mark.broker
def test_first_steps(kafka: str, prefix: str, environ: dict[str, str], tmp_path: Path) -> None:
    """The lines of docs/installing.md work as they stand, but for the Kafka's address, and end in a sound audit."""
    lines = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "installing.md").read_text("utf-8"), re.DOTALL)[-1]
    script = "set -e\ntrap 'kill %1' EXIT\n" + lines.replace("127.0.0.1:9092", kafka)
    every = {**environ, "A3CP_TOPIC_PREFIX": prefix, "A3CP_GROUP_ID": prefix}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=every, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("sound: ")


def test_what_is_printed_is_there(a3cp: A3cp, base: Path) -> None:
    """A document that a message or the help names is a path that leads to it, also in an installed package."""
    printed = a3cp("--help").stdout + a3cp("topics", "plan", A3CP_TOPIC_PREFIX="no/such").stderr
    named = re.findall(r"\S*docs/[\w/-]+\.md", printed)
    assert len(named) == 2
    assert all(Path(path).is_file() for path in named)


def test_the_documents_are_whole(base: Path) -> None:
    """Each link of an installed document to a file leads to one."""
    for document in (base / "processor" / "_data").rglob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text("utf-8")):
            assert (document.parent / target).exists(), f"{document}: {target}"
