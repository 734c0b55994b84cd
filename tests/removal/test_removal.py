"""What is removed is gone to the last byte, and nothing else is touched."""

import os
import shutil
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest

from processor.bundles.bundle import write_bundle
from processor.bundles.verify import verify
from processor.core.ids import owner_of
from processor.errors import StoreUnavailable
from processor.removal.clearing import Cleared, clear
from processor.sessions.due import view_of
from processor.sessions.model import SessionRow
from processor.sessions.ports import Gone, SessionFilter
from processor.sessions.projection.materializer import Materializer
from processor.store import open_store
from processor.store.sql import SqlStore
from processor.targets.locks import TEMPORARY
from processor.targets.paths import METADATA, bundle_path, date_part
from processor.targets.target import Target
from processor.training.dataset import write_date
from tests.removal.stage import DAY_MS, HOUR_MS, export, files, leaks, values
from tests.sessions.exporting import applied, everything
from tests.sessions.outputs import CODEC, DECODE, START_MS, message, processed

EVERYTHING = SessionFilter()
ANNA = Gone(user_id="anna-4711")


def held(store: SqlStore, user_id: str) -> list[Any]:
    sessions = store.reader.sessions(SessionFilter(owner=user_id), limit=100)
    return [
        sessions,
        [(list(store.reader.messages(s.session_id)), list(store.reader.events(s.session_id))) for s in sessions],
        list(store.reader.without_session(user_id)),
        [
            store.reader.search(word + user_id[:4], limit=9)
            for word in ("secretword", "notedword", "phraseword", "looseword")
        ],
    ]


def rows_of(root: Path, user_id: str) -> list[Any]:
    return [
        [row for row in pq.read_table(path).to_pylist() if row["user_id"] == user_id]
        for path in sorted(root.rglob("*.parquet"))
    ]


def words_of(root: Path) -> set[str]:
    """Return the words that the files list for a column, whether or not a row has them."""
    columns = [pq.read_table(path)["model_version"] for path in root.rglob("*.parquet")]
    return {word for column in columns for chunk in column.chunks for word in chunk.dictionary.to_pylist()}


def test_a_user_is_removed_from_the_store(store: SqlStore) -> None:
    """All of one user's rows, of no other's; what is counted before is what goes; the second time nothing is left."""
    applied(store, processed(values()))
    others = held(store, "ben")
    ids = [session.session_id for session in store.reader.sessions(EVERYTHING, limit=100)]
    offsets = store.writer.offsets()
    told = store.removal.removable(ANNA)
    assert (len(told.sessions), told.messages, told.without_session, told.texts > 0) == (2, 5, 1, True)
    assert store.removal.remove(ANNA) == told
    store.removal.scrub()
    assert held(store, "anna-4711") == [[], [], [], [[], [], [], []]]
    assert (held(store, "ben"), store.writer.offsets()) == (others, offsets)
    gone = {session_id for session_id, _, _ in told.sessions}
    assert store.reader.removed_of(ids) == gone  # They are remembered by hashes: an id tells of its user.
    again = store.removal.remove(ANNA)
    assert (list(again.sessions), *again[1:]) == ([], 0, 0, 0, 0)


def test_lanes_go_with_their_owner(store: SqlStore) -> None:
    """What a person did in lanes goes too, in sessions and in none; who has a name that only looks so stays."""
    lane, others = "anna-4711~0123abcd", ["anna-4711~0123abcg", "anna-4711~0123abcde", "ANNA-4711~0123abcd", "anna-471"]
    told = [value.replace(b'"anna-4711"', f'"{name}"'.encode()) for name in (lane, *others) for value in values()]
    applied(store, processed([value for value in told if b'"ben"' not in value]))
    before = {
        name: [s.user_id for s in store.reader.sessions(SessionFilter(), limit=99)].count(name) for name in others
    }
    removed = store.removal.remove(ANNA)
    assert (len(removed.sessions), removed.messages, removed.without_session) == (2, 5, 1)
    left = [session.user_id for session in store.reader.sessions(SessionFilter(), limit=99)]
    assert {name: left.count(name) for name in (lane, *others)} == {lane: 0, **before}
    assert [row.user_id for row in store.reader.without_session(lane)] == []
    assert set(store.reader.users()) == set(map(owner_of, others))


def test_no_byte_is_left_in_the_file(tmp_path: Path) -> None:
    """SQLite's file and its log are searched: before, all words are found, after it none; the other's are there."""
    store = applied(open_store(f"sqlite:///{tmp_path / 'store.db'}"), processed(values()))
    assert set(leaks(files(tmp_path).values())) > {b"anna", b"secretwordanna"}
    store.removal.remove(ANNA)
    assert leaks(files(tmp_path).values())  # Deleted rows alone are still readable.
    store.removal.scrub()
    assert leaks(files(tmp_path).values()) == []  # With the store still open, its log included.
    assert any(b"secretwordben" in content for content in files(tmp_path).values())
    assert [found.user_id for found in store.reader.search("secretwordben", limit=5)] == ["ben", "ben"]
    store.close()


def test_a_reader_in_the_way_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another reads, the log cannot be emptied: that is said, and the next attempt does it."""
    monkeypatch.setattr("processor.store.sqlite.BUSY_TIMEOUT_S", 0.1)
    address = f"sqlite:///{tmp_path / 'store.db'}"
    store, reader = applied(open_store(address), processed(values())), open_store(address)
    with reader.database.engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql("SELECT count(*) FROM messages").all()
        store.removal.remove(ANNA)
        with pytest.raises(StoreUnavailable, match=r"others (read|use)|does not answer"):
            store.removal.scrub()
        connection.exec_driver_sql("ROLLBACK")
    store.removal.scrub()
    assert leaks(files(tmp_path).values()) == []
    reader.close()
    store.close()


def test_sessions_go_by_their_age(store: SqlStore) -> None:
    """What ended before, and what belongs to no session and is older; the others and open sessions stay."""
    records = processed(values(), quiet=False)
    applied(store, records)
    before = {session.session_id: session for session in store.reader.sessions(EVERYTHING, limit=100)}
    old = Gone(ended_before_ms=START_MS + DAY_MS)
    told = store.removal.removable(old)
    assert (len(told.sessions), told.messages, told.without_session) == (2, 6, 2)
    assert [start_ms for _, start_ms, _ in told.sessions] == [START_MS, START_MS]
    assert store.removal.remove(old) == told
    left = store.reader.sessions(EVERYTHING, limit=100)
    assert [s.state for s in left] == ["active", "active"]
    assert all(s == before[s.session_id] for s in left)
    assert store.reader.removed_of(list(before)) == before.keys() - {s.session_id for s in left}
    much_later = store.removal.remove(Gone(ended_before_ms=START_MS + 99 * DAY_MS))
    assert (list(much_later.sessions), much_later.messages) == ([], 0)


def test_a_target_has_a_name_of_any_length(store: SqlStore) -> None:
    """What was exported to a path that no index takes is known as such; a path that begins alike is another one."""
    random = Random(7)
    target = "/" + "".join(random.choices(string.ascii_letters, k=3_500)) + "\udcff json"
    (session, *_) = sessions = applied(store, processed(values())).reader.sessions(EVERYTHING, limit=10)
    store.ledger.note_exported(target, {session.session_id: session.changes})
    store.ledger.note_exported(target, {session.session_id: session.changes})
    due = [row.session_id for row in store.ledger.unexported(target, EVERYTHING, limit=10)]
    assert sorted(due) == sorted(row.session_id for row in sessions if row is not session)
    assert len(store.ledger.unexported(target + ",csv", EVERYTHING, limit=10)) == len(sessions)


def test_a_wrong_clock_keeps_nothing(store: SqlStore) -> None:
    """What is in no session and dated far ahead goes by its arrival, with its texts; what came later stays."""
    ahead = message("anna-4711", 0, source="model_trainer", transcript="secretwordanna").replace(b"2025-", b"2099-")
    (record,) = processed([ahead])
    later = record._replace(offset=1, append_ms=START_MS + DAY_MS)
    applied(store, [record, later])
    told = store.removal.remove(Gone(ended_before_ms=START_MS + HOUR_MS))
    assert (told.messages, told.without_session, told.texts) == (1, 1, 1)
    assert [row.offset for row in store.reader.without_session()] == [1]
    assert len(store.reader.search("secretwordanna", limit=5)) == 1


@pytest.mark.parametrize("same_exporter", [True, False])
def test_a_removed_session_does_not_come_back_by_halves(store: SqlStore, *, same_exporter: bool) -> None:
    """A late message and the next revision of the end find no session: they are left out, and the offsets go on."""
    all_values = [
        message("ben", 0, transcript="secretwordben"),
        message("ben", 3 * HOUR_MS, transcript="second"),
        message("ben", HOUR_MS // 2, transcript="late"),  # Lengthens the first, whose end comes again.
    ]
    records = processed(all_values)
    early = len(processed(all_values[:2], quiet=False))
    exporter = Materializer(store.writer, DECODE)
    exporter.apply(records[:early], everything(records[:early]))
    assert len(store.removal.remove(Gone(ended_before_ms=START_MS + 2 * HOUR_MS)).sessions) == 1
    exporter = exporter if same_exporter else Materializer(store.writer, DECODE)
    reached = store.writer.offsets()
    rest = everything(records[early:])
    exporter.apply(records[early:], {source: (reached[source], after) for source, (_, after) in rest.items()})
    (session,) = store.reader.sessions(EVERYTHING, limit=10)
    assert (session.start_ms, session.status.value) == (START_MS + 3 * HOUR_MS, "complete")
    assert store.reader.search("late", limit=5) == []
    assert store.writer.offsets() == {source: after for source, (_, after) in rest.items()}
    assert store.reader.totals().messages == 1


def test_an_exporter_that_goes_on_remembers_no_erased_person(store: SqlStore) -> None:
    """What comes of them later counts alone: the note and the counts from before do not come back. Others' go on."""
    all_values = [
        message("anna-4711", 0, source="ui", command="start", session_notes="notedwordanna"),
        message("anna-4711", 1, source="ui"),
        message("ben", 0, source="ui"),
        message("anna-4711", 2, source="ui"),
        message("ben", 1, source="ui"),
    ]
    records = processed(all_values, quiet=False)
    early = len(processed(all_values[:3], quiet=False))
    exporter = Materializer(store.writer, DECODE)
    exporter.apply(records[:early], everything(records[:early]))
    assert store.removal.remove(ANNA).messages == 1
    reached, rest = store.writer.offsets(), everything(records[early:])
    exporter.apply(records[early:], {source: (reached[source], after) for source, (_, after) in rest.items()})
    sessions = {session.user_id: session for session in store.reader.sessions(EVERYTHING, limit=10)}
    anna, ben = sessions["anna-4711"], sessions["ben"]
    assert (anna.session_notes, anna.held_count, anna.event_count) == (None, 1, 0)
    assert (ben.held_count, ben.event_count) == (2, 1)


def test_a_user_is_cleared_from_a_root(tmp_path: Path) -> None:
    """No byte of one user is left; of others' bundles every byte, of the data set every row; twice changes nothing."""
    store = applied(open_store(f"sqlite:///{tmp_path / 'store.db'}"), processed(values()))
    root = tmp_path / "root"
    target = export(store, root)
    sessions = store.reader.sessions(SessionFilter(owner="ben"), limit=9)
    ids = tuple(bundle_path(session.session_id, session.start_ms) for session in sessions)
    bens = {name: content for name, content in files(root).items() if name.startswith(ids)}
    rows = rows_of(root, "ben")
    dry = clear(target, lambda user_id, _: user_id == "anna-4711", dry_run=True)
    assert (dry.bundles, dry.rows, dry.dates, dry.unreadable) == (2, 6, ("2025-06-15", "2025-06-16"), ())
    assert {name: files(root).get(name) for name in bens} == bens
    assert clear(target, lambda user_id, _: user_id == "anna-4711") == dry
    assert leaks(files(root).values()) == []
    assert {name: files(root).get(name) for name in bens} == bens
    assert rows_of(root, "ben") == rows
    assert sum(map(len, rows_of(root, "anna-4711"))) == 0
    assert words_of(root) == {"model of ben"}
    assert [report.problems for report in verify(str(root))] == [[], []]
    after = files(root)
    assert clear(target, lambda user_id, _: user_id == "anna-4711")[1:] == (0, 0, (), (), (), 0)
    assert files(root) == after
    store.close()


def test_a_date_without_rows_has_no_file(tmp_path: Path) -> None:
    """Where nobody is left, the date's folder goes; dates beyond `until` are not looked at."""
    store = applied(open_store(f"sqlite:///{tmp_path / 'store.db'}"), processed(values()))
    target = export(store, tmp_path / "root")
    cleared = clear(target, lambda *_: True, until="2025-06-15")
    assert (cleared.bundles, cleared.dates) == (2, ("2025-06-15",))
    left = {name.split("/")[1] for name in files(tmp_path / "root") if name.endswith(".parquet")}
    assert left == {"date=2025-06-16"}
    store.close()


def test_what_a_killed_run_has_left(tmp_path: Path) -> None:
    """Half-written bundles of sessions that are known to go are swept; a folder without metadata is told of."""
    store = applied(open_store(f"sqlite:///{tmp_path / 'store.db'}"), processed(values()))
    target = export(store, tmp_path / "root")
    mine, other = (store.reader.sessions(SessionFilter(owner=user), limit=1)[0] for user in ("anna-4711", "ben"))
    left = tmp_path / "root" / TEMPORARY / f"{mine.session_id}=.0123"
    left.mkdir()
    (left / "records.jsonl").write_bytes(b"anna-4711 said secretwordanna")
    for session in (mine, other):
        (tmp_path / "root" / bundle_path(session.session_id, session.start_ms) / METADATA).write_bytes(b"{")
    known = [(session_id, start_ms) for session_id, start_ms, _ in store.removal.removable(ANNA).sessions]
    cleared = clear(target, lambda user_id, _: user_id == "anna-4711", known=known)
    assert cleared.bundles == 2
    assert [Path(path).name for path in cleared.unreadable] == [other.session_id]
    assert leaks(files(tmp_path / "root").values()) == []
    store.close()


def test_what_is_left_of_a_person_whom_the_store_has_forgotten(tmp_path: Path) -> None:
    """Folders of bundles are judged by what they say, or go when they say nothing; files of the data set go."""
    store = applied(open_store(f"sqlite:///{tmp_path / 'store.db'}"), processed(values()))
    root = tmp_path / "root"
    target = export(store, root)
    mine, other = (store.reader.sessions(SessionFilter(owner=user), limit=1)[0] for user in ("anna-4711", "ben"))
    beside = root / TEMPORARY
    for session, name in ((mine, ""), (mine, ".old"), (other, ".old")):
        whole = root / bundle_path(session.session_id, session.start_ms)
        shutil.copytree(whole, beside / f"{session.session_id}=.01{name}")
    shutil.rmtree(root / bundle_path(mine.session_id, mine.start_ms))
    (beside / f"{other.session_id}=.02").mkdir()
    (beside / f"{other.session_id}=.02" / "records.jsonl").write_bytes(b"anna-4711, who can tell")
    for path in list(root.rglob("*.parquet")):
        shutil.copy(path, path.with_name(f".{path.name}.0123abcd"))
    dry = clear(target, lambda user_id, _: user_id == "anna-4711", dry_run=True)
    before = files(root)
    assert (dry.bundles, dry.rows, dry.leftovers) == (1, 6, 3 + 4)
    assert clear(target, lambda user_id, _: user_id == "anna-4711") == dry
    assert [path.name for path in beside.glob("*=.*")] == [f"{other.session_id}=.01.old"]
    assert leaks(files(root).values()) == []
    assert {name for name in before if other.session_id in name} - set(files(root)) == {
        f"{TEMPORARY}/{other.session_id}=.02/records.jsonl"
    }
    store.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Path, Target, list[SessionRow]]]:
    """A root with bundles and data set, and Anna's sessions in it."""
    store = applied(open_store(f"sqlite:///{tmp_path / 'store.db'}"), processed(values()))
    target = export(store, tmp_path / "root")
    yield tmp_path / "root", target, list(store.reader.sessions(SessionFilter(owner="anna-4711"), limit=9))
    store.close()


def moved_and_linked(place: Path, disk: Path) -> None:
    disk.mkdir(exist_ok=True)
    place.rename(disk / place.name)
    place.symlink_to(disk / place.name)


def clear_anna(target: Target) -> Cleared:
    """Clear after a dry run, which must tell the same."""
    dry = clear(target, lambda user_id, _: user_id == "anna-4711", dry_run=True)
    done = clear(target, lambda user_id, _: user_id == "anna-4711")
    assert done == dry
    return done


Place = tuple[Path, Target, list[SessionRow]]


@pytest.mark.parametrize(
    "moved", [".", "2025-06-15", "2025-06-15/*", "messages", "captures", "messages/date=2025-06-15", ".tmp"]
)
def test_what_lies_on_another_disk(place: Place, tmp_path: Path, moved: str) -> None:
    """Whatever an export writes through a link to is looked through: nothing is left behind the link either."""
    root, _, _ = place
    disk, bens = tmp_path / "disk", sum(map(len, rows_of(root, "ben")))
    for path in sorted(root.glob(moved)) if moved != "." else [root]:
        moved_and_linked(path, disk)
    done = clear_anna(Target(str(root)))
    assert (done.bundles, done.rows, done.is_whole) == (2, 6, True)
    assert leaks([*files(root).values(), *files(disk).values()]) == []
    paths = root.glob("*/date=*/*.parquet")  # Unlike `rglob`, through links.
    assert sum(row["user_id"] == "ben" for path in paths for row in pq.read_table(path).to_pylist()) == bens
    assert all(report.is_sound for report in verify(str(root)))


def test_a_bundle_that_is_written_again_through_a_link(place: Place, tmp_path: Path) -> None:
    """Its old content behind the link goes as well."""
    root, target, (session, *_) = place
    path = root / bundle_path(session.session_id, session.start_ms)
    moved_and_linked(path, tmp_path / "disk")
    (path / "manifest.json").unlink()
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    write_bundle(target, view_of(store.reader, session), CODEC, now_ms=START_MS)
    store.close()
    assert not path.is_symlink()
    assert files(tmp_path / "disk") == {}


@pytest.mark.parametrize("name", ["mine", "2025-06-15/copy of it", "archive/2024/old one", "2025-06-15/deep/er"])
def test_a_bundle_that_somebody_has_moved(place: Place, name: str) -> None:
    """It is found by what it says, wherever below the root it lies and whatever it is called."""
    root, target, (session, *_) = place
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / bundle_path(session.session_id, session.start_ms)).rename(root / name)
    done = clear_anna(target)
    assert (done.bundles, done.is_whole) == (2, True)
    assert leaks(files(root).values()) == []


def test_a_circle_of_links(place: Place) -> None:
    """Each bundle counts once, and no link is left that leads nowhere."""
    root, target, (session, *_) = place
    (root / "2030-01-01").symlink_to(root)
    (root / "2030-01-02").symlink_to("2030-01-02")
    (root / "2025-06-15" / "again").symlink_to(root / bundle_path(session.session_id, session.start_ms))
    done = clear_anna(target)
    assert done.bundles == 2
    assert [other.removeprefix(f"{root}/") for other in done.others] == ["2030-01-02: a link that leads nowhere now"]
    assert not (root / "2025-06-15" / "again").is_symlink()
    assert leaks(files(root).values()) == []


def test_what_cannot_be_judged_is_named(place: Place, tmp_path: Path) -> None:
    """Archives, files of others, pipes, links to elsewhere, hard links: each is told, and stays."""
    root, target, (session, *_) = place
    bundle = root / bundle_path(session.session_id, session.start_ms)
    shutil.make_archive(str(root / "2025-06-15" / "bundle"), "zip", bundle)
    shutil.copy(bundle / "messages.csv", root / "words.csv")
    os.mkfifo(root / "pipe")
    (root / "elsewhere").symlink_to(tmp_path)
    (root / "unplugged").symlink_to(tmp_path / "nowhere")
    (bundle / "extra").symlink_to(tmp_path)
    (root / "messages" / "own.parquet").write_bytes(b"no parquet")
    os.link(bundle / "records.jsonl", tmp_path / "backup.jsonl")
    done = clear_anna(target)
    assert not done.is_whole
    assert {other.removeprefix(f"{root}/").removeprefix(str(root)) for other in done.others} == {
        ": 1 file that goes has other names too, as hard links",
        "2025-06-15/bundle.zip: nobody can tell whose it is",
        f"{bundle.relative_to(root)}/extra: a link that is not followed",
        "elsewhere: a link that is not followed",
        "messages/own.parquet: it cannot be read, so nobody can tell whose it is",
        "pipe: no file and no folder",
        "unplugged: a link that leads nowhere now",
        "words.csv: nobody can tell whose it is",
    }


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_metadata_that_never_end(place: Place, make: Callable[[Path], None]) -> None:
    """A pipe, a link or a folder in their place is not opened: nobody can tell whose the bundle is."""
    root, target, (session, *_) = place
    path = root / bundle_path(session.session_id, session.start_ms) / METADATA
    path.unlink()
    make(path)
    done = clear_anna(target)
    assert (done.bundles, done.unreadable, done.is_whole) == (1, (str(path.parent),), False)


def test_copies_of_the_data_set(place: Place) -> None:
    """A Parquet file of another name, in another folder, has its rows removed too."""
    root, target, _ = place
    (root / "messages" / "mine").mkdir()
    shutil.copy(root / "messages/date=2025-06-15/messages.parquet", root / "messages/mine/copy.parquet")
    assert clear_anna(target).is_whole
    assert leaks(files(root).values()) == []


def test_what_others_have_in_a_date(place: Place) -> None:
    """It stays where it is when the date's last row goes, and is named."""
    root, target, _ = place
    (root / "messages" / "date=2025-06-15" / "README").write_text("mine")
    done = clear(target, lambda *_: True)
    assert [other.rpartition("/")[2] for other in done.others] == ["README: nobody can tell whose it is"]
    assert [name for name in files(root) if not name.startswith(TEMPORARY)] == ["messages/date=2025-06-15/README"]


def test_a_root_elsewhere(tmp_path: Path) -> None:
    """The same on a target that fsspec reaches."""
    store = applied(open_store(f"sqlite:///{tmp_path / 'store.db'}"), processed(values()))
    target = Target("memory://removal")
    for session in store.reader.sessions(EVERYTHING, limit=100):
        write_bundle(target, view_of(store.reader, session), CODEC, now_ms=START_MS)
        write_date(target, date_part(session.start_ms), [view_of(store.reader, session)], CODEC)
    assert clear(target, lambda user_id, _: user_id == "anna-4711").bundles == 2
    assert leaks(map(target.files.cat_file, target.files.find(target.root))) == []
    store.close()
