"""A PostgreSQL for tests: a private cluster in a temporary folder, from the programs that Debian installs."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

SKIPPED = "no PostgreSQL here: its programs initdb and pg_ctl are not installed (on Debian the package postgresql)"


def programs() -> Path | None:
    """Return the folder of the newest PostgreSQL's programs; None where there is none."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    named = shutil.which("initdb")
    candidates = [*reversed(folders), *([Path(named).parent] if named else [])]
    return next((path for path in candidates if (path / "initdb").exists() and (path / "pg_ctl").exists()), None)


class Cluster:
    """A running cluster, reached by a socket in its own folder; it refuses to run as root, so then as another user."""

    def __init__(self) -> None:
        found = programs()
        assert found is not None
        self._programs = found
        self._folder = Path(tempfile.mkdtemp(prefix="a3cp-pg-"))
        self._user = _other_user() if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(self._folder, self._user, -1)
        data = self._folder / "data"
        self._run("initdb", "-D", str(data), "-A", "trust", "-U", "a3cp", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8")
        self.start()

    def start(self) -> None:
        """Start it."""
        options = f"-k {self._folder} -c listen_addresses='' -c fsync=off -c max_connections=30"
        log = str(self._folder / "log")
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-o", options, "-l", log, "-w", "-t", "60", "start")

    def stop(self) -> None:
        """Stop it at once."""
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-m", "immediate", "-w", "stop")

    def new_database(self, name: str) -> str:
        """Make a database and return its address."""
        self._run("psql", "-h", str(self._folder), "-U", "a3cp", "-d", "postgres", "-qc", f'CREATE DATABASE "{name}"')
        return f"postgresql://a3cp@/{name}?host={self._folder}"

    def dump(self, address: str, file: Path) -> None:
        """Write a database into a file of SQL, which other releases of PostgreSQL read too."""
        command = [str(self._programs / "pg_dump"), "--no-owner", address]
        lines = subprocess.run(command, capture_output=True, check=True, timeout=90).stdout.splitlines(keepends=True)
        file.write_bytes(b"".join(line for line in lines if not line.startswith((b"\\restrict", b"\\unrestrict"))))

    def restore(self, address: str, file: Path) -> None:
        """Fill an empty database from such a file."""
        with file.open("rb") as source:
            subprocess.run(
                [self._programs / "psql", "-q", "-v", "ON_ERROR_STOP=1", address], stdin=source, check=True, timeout=90,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip

    def _run(self, program: str, *arguments: str) -> None:
        path = self._programs / program
        command: Sequence[str] = [str(path) if path.exists() else program, *arguments]
        # Output to a file: pg_ctl leaves the server its own, and a pipe would stay open for as long.
        with (self._folder / "output").open("ab") as output:
            subprocess.run(
                command, stdout=output, stderr=output, check=True, timeout=90, user=self._user, cwd=self._folder
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def _other_user() -> int:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise AssertionError("no user but root")
