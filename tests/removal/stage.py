"""Two users in a store and in bundles, whose every word tells whose it is."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from processor.bundles.bundle import write_bundle
from processor.sessions.due import view_of
from processor.sessions.ports import SessionFilter
from processor.store import open_store
from processor.store.sql import SqlStore
from processor.targets.paths import date_part
from processor.targets.target import Target
from processor.training.dataset import write_date
from tests.sessions.outputs import CODEC, START_MS, message

DAY_MS = 86_400_000
HOUR_MS = 3_600_000


def values() -> list[bytes]:
    """Two users on two days; one message of each in no session; Anna's last session is still open."""
    told = []
    for day in range(2):
        for user in ("anna-4711", "ben"):
            at_ms = day * DAY_MS
            told += [
                message(
                    user, at_ms, source="ui", transcript=f"secretword{user[:4]} day{day}", capture_id=f"{user}{day}",
                    model_version=f"model of {user}",
                ),
                message(user, at_ms + 1_000, command="note", note=f"notedword{user[:4]} x", performer_id="carer"),
                message(user, at_ms + 2_000, source="ui", output_phrase=f"phraseword{user[:4]}"),
            ]  # fmt: skip
    told += [
        message(u, HOUR_MS * 9, source="model_trainer", transcript=f"looseword{u[:4]}") for u in ("anna-4711", "ben")
    ]
    return told


def export(store: SqlStore, root: Path) -> Target:
    target = Target(str(root))
    sessions = store.reader.sessions(SessionFilter(), limit=100)
    for session in sessions:
        write_bundle(target, view_of(store.reader, session), CODEC, now_ms=START_MS)
    for date in {date_part(session.start_ms) for session in sessions}:
        rows = [view_of(store.reader, session) for session in sessions if date_part(session.start_ms) == date]
        write_date(target, date, rows, CODEC)
    return target


def files(root: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def leaks(contents: Iterable[bytes]) -> list[bytes]:
    words = (b"anna", b"secretwordanna", b"notedwordanna", b"phrasewordanna", b"loosewordanna")
    return [word for content in contents for word in words if word in content.lower()]


@contextmanager
def reader(tmp_path: Path) -> Iterator[None]:
    """Another one in the middle of reading the store."""
    other = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    with other.database.engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql("SELECT count(*) FROM messages").all()
        yield
        connection.exec_driver_sql("ROLLBACK")
    other.close()
