"""`a3cp erase` and `a3cp retention` on a real Kafka: one of several persons is gone to the byte, the others stay."""

import hmac
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.bundles.verify import verify
from processor.errors import UsageError
from processor.kafka.conf import LogConf
from processor.kafka.stopped import erasure
from processor.kafka.worker.slots import _members
from processor.profiles import Pseudonyms, open_profiles
from processor.runtime.partitioner import partition_of
from processor.sessions.ports import SessionFilter
from processor.settings.sources import load
from processor.store import open_store
from processor.wiring import log_conf
from tests.broker.audit import read_topic
from tests.broker.fleet import BASE_MS, Fleet, Worker, await_true, message, produce
from tests.broker.services import Service
from tests.cli.running import a3cp
from tests.conftest import PARTITIONS

pytestmark = pytest.mark.broker

ANNA = "anna-4711"
USERS = (ANNA, "ben", "cleo")
LANES = (f"{ANNA}~00000001", f"{ANNA}~00000006")  # Each in a partition of its own.
HOUR_MS = 3_600_000
COLD_S = 150.0  # A broker that never had a group lets the first one wait for a minute.
QUIET_MS = HOUR_MS  # The clock ends nothing meanwhile,
SESSION_TIMEOUT_MS = 30_000  # and a processor that stands still for a moment is one at work. Each leaves by itself.


def said(user: str, first: int) -> list[tuple[str, bytes]]:
    """Two sessions, the second still open; ids, words and a note that nobody else has."""
    at_ms = BASE_MS + first * 1_000
    word = f"word{user[:4]}"
    return [
        (user, message(user, at_ms, number=first, transcript=f"{word} one", capture_id=f"capture-{user}")),
        (user, message(user, at_ms + 500, number=first + 1, command="note", note=f"{word} note", performer_id="carer")),
        (user, message(user, at_ms + 3 * HOUR_MS, number=first + 2, transcript=f"{word} two")),
    ]


class Place:
    """A site with a processor, a store, bundles and a data set."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.fleet, self.folder = fleet, folder
        self.address = f"sqlite:///{folder / 'store.db'}"
        self.bundles, self.training = folder / "bundles", folder / "training"

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        store = () if arguments[0] in ("audit", "verify") else ("--store", self.address)
        done = a3cp(*arguments, *store, environ=self.environ, folder=self.folder)
        sys.stdout.write(f"$ a3cp {' '.join(arguments)}\n{done.stdout}{done.stderr}")
        return done

    def told(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def start(self) -> Worker:
        worker = self.fleet.start()
        await_true("the processor reads", lambda: worker.said("restored") == PARTITIONS, COLD_S)
        return worker

    def export(self) -> None:
        self.told("export", "--to", str(self.bundles), "--training", str(self.training))

    def erase(self, *arguments: str) -> Any:
        return self.told("erase", ANNA, *self.roots, *arguments)

    @property
    def roots(self) -> tuple[str, ...]:
        return ("--to", str(self.bundles), "--to", str(self.training))

    @property
    def environ(self) -> Mapping[str, str]:
        return {**os.environ, **self.fleet.environ}

    def files(self) -> dict[str, bytes]:
        places = [self.bundles, self.training, *self.folder.glob("store.db*"), *self.folder.glob("a3cp-erasure*")]
        paths = [path for place in places for path in ([place] if place.is_file() else place.rglob("*"))]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths if path.is_file()}

    def leaks(self) -> list[str]:
        return [name for name, content in self.files().items() if ANNA.encode() in content or b"wordanna" in content]

    def states(self) -> dict[bytes, bytes | None]:
        """Return what compaction leaves of the state topic: the latest value of each key."""
        records = (r for part in read_topic(self.fleet.bootstrap, self.fleet.names.state) for r in part)
        return {record.key or b"": record.value for record in records}

    def texts_beside_offsets(self) -> list[str]:
        """Return what the processor's group has committed beside its offsets."""
        reader = Consumer({"bootstrap.servers": self.fleet.bootstrap, "group.id": self.fleet.prefix})
        try:
            places = [TopicPartition(self.fleet.names.raw, number) for number in range(PARTITIONS)]
            return [str(place.metadata) for place in reader.committed(places, timeout=60) if place.offset >= 0]
        finally:
            reader.close()

    def of(self, user: str) -> list[Any]:
        """Return everything that is held of a user."""
        store = open_store(self.address)
        sessions = store.reader.sessions(SessionFilter(owner=user), limit=100)
        held = [
            sessions,
            [(list(store.reader.messages(s.session_id)), list(store.reader.events(s.session_id))) for s in sessions],
        ]
        found = store.reader.search(f"word{user[:4]}", limit=100)
        store.close()
        ids = {session.session_id for session in sessions}
        bundles = {name: content for name, content in self.files().items() if ids & set(Path(name).parts)}
        rows = [
            [row for row in pq.read_table(path).to_pylist() if row["user_id"] == user]
            for path in sorted(self.training.rglob("*.parquet"))
        ]
        return [*held, found, bundles, rows, self.states().get(user.encode())]


@pytest.mark.long
@pytest.mark.parametrize("runs", [False, True], ids=["the processor is stopped", "the processor runs"])
def test_one_person_is_erased(kafka: str, topics: str, tmp_path: Path, runs: bool) -> None:
    """Store, bundles, data set and state hold no byte of them, nor of what they did in lanes."""
    with Fleet(kafka, topics, tmp_path, quiet_ms=QUIET_MS, session_timeout_ms=SESSION_TIMEOUT_MS) as fleet:
        place = Place(fleet, tmp_path)
        worker = place.start()
        people = (*USERS, *LANES)
        produce(kafka, fleet.names.raw, iter([said_ for n, user in enumerate(people) for said_ in said(user, 10 * n)]))
        fleet.await_processed()
        place.export()
        assert {Path(name).parts[0].split(".")[0] for name in place.leaks()} == {"store", "bundles", "training"}
        others = {user: place.of(user) for user in USERS[1:]}
        if not runs:
            assert worker.stop() == 0
        before = (place.files(), place.states())
        texts = place.texts_beside_offsets()
        assert all(text.startswith("a3cp cluster=") for text in texts)
        dry = place.erase("--dry-run")
        assert (place.files().keys(), place.states()) == (before[0].keys(), before[1])
        assert {name: content for name, content in place.files().items() if "store.db" not in name} == {
            name: content for name, content in before[0].items() if "store.db" not in name
        }
        assert (dry["dry_run"], dry["in_the_way"], dry["proof"]) == (True, [], None)

        done = place.erase()
        assert {name: done[name] for name in ("store", "targets", "state")} == {
            name: dry[name] for name in ("store", "targets", "state")
        }
        assert (done["store"]["sessions"], done["store"]["messages"]) == (6, 6)
        assert [(one["bundles"], one["rows"]) for one in done["targets"]] == [(6, 0), (0, 9)]
        assert place.leaks() == []
        states = place.states()
        assert [states[user.encode()] for user in (ANNA, *LANES)] == [None] * 3
        assert place.texts_beside_offsets() == texts
        assert {user: place.of(user) for user in USERS[1:]} == others
        assert [problem for report in verify(str(place.bundles)) for problem in report.problems] == []

        remains = Counter[str]()
        for one in done["remains"]:
            remains[one["topic"].rpartition(".")[2]] += one["records"]
        assert remains == {"raw": 9, "tagged": 6, "sessions": 12}
        assert all(one["until"] for one in done["remains"])
        proof = (tmp_path / done["proof"]).read_text()
        assert ANNA not in proof
        assert json.loads(proof)["complete"] is True
        assert json.loads(proof)["store"] == {n: c for n, c in done["store"].items() if not n.endswith("_start")}
        keyed = hmac.digest(done["receipt"].encode(), ANNA.encode(), "sha256").hex()
        assert json.loads(proof)["user_hmac_sha256"] == keyed

        audited = place.run("audit")
        assert audited.returncode == 0, audited.stdout

        after = (place.files(), place.states())
        again = place.erase()
        assert (again["proof"], again["store"]["sessions"], again["state"]["partitions"]) == (None, 0, [])
        assert {n: c for n, c in place.files().items() if "store.db" not in n} == {
            n: c for n, c in after[0].items() if "store.db" not in n
        }
        assert (place.states(), {user: place.of(user) for user in USERS[1:]}) == (after[1], others)

        # The processor goes on: the others' sessions do, a new message of the erased person begins a new one.
        if not runs:
            fleet.start()
        later_ms = BASE_MS + 3 * HOUR_MS + 60_000
        produce(kafka, fleet.names.raw, iter([(u, message(u, later_ms, number=900 + n)) for n, u in enumerate(USERS)]))
        fleet.await_processed()
        place.export()
        store = open_store(place.address)
        counts = {
            user: [s.held_count for s in store.reader.sessions(SessionFilter(owner=user), limit=9)] for user in USERS
        }
        (new,) = store.reader.sessions(SessionFilter(owner=ANNA), limit=9)
        store.close()
        assert counts == {ANNA: [1], "ben": [2, 1], "cleo": [2, 1]}
        assert (new.previous_session_id, new.start_reason) == (None, "message")
        for proof in (("audit",), ("verify", "--topic")):  # The session that was open when they were erased too.
            proven = place.run(*proof)
            assert proven.returncode == 0, proven.stdout


@pytest.mark.long
def test_what_would_come_after_is_in_the_way(kafka: str, topics: str, tmp_path: Path) -> None:
    """Records that are not processed, or not exported, would bring the person back: refused, with what to do."""
    with Fleet(kafka, topics, tmp_path, quiet_ms=QUIET_MS, session_timeout_ms=SESSION_TIMEOUT_MS) as fleet:
        place = Place(fleet, tmp_path)
        worker = place.start()
        produce(kafka, fleet.names.raw, iter(said("ben", 0)))
        fleet.await_processed()
        place.export()
        produce(kafka, fleet.names.raw, iter(said(ANNA, 10)))
        fleet.await_processed()
        assert worker.stop() == 0
        assert "run a3cp export first" in place.run("erase", ANNA, *place.roots).stderr
        place.export()
        unnamed = place.run("erase", ANNA, *place.roots[:2])
        assert (unnamed.returncode, f"has exported to {place.training}, which no --to names" in unnamed.stderr) == (
            2,
            True,
        )
        produce(kafka, fleet.names.raw, iter([(ANNA, message(ANNA, BASE_MS + 4 * HOUR_MS, number=99))]))
        refused = place.run("erase", ANNA, *place.roots)
        assert (refused.returncode, "let a3cp process finish first" in refused.stderr) == (2, True)
        assert place.erase("--dry-run")["in_the_way"] == [refused.stderr.strip().removeprefix("error: ")]
        before = place.files().keys()
        nowhere = place.run("erase", ANNA.upper() + " ", *place.roots)
        assert (nowhere.returncode, nowhere.stdout) == (2, "")
        assert f"nothing of '{ANNA.upper()} ' is in {', '.join(fleet.names)}, {place.address}" in nowhere.stderr
        assert nowhere.stderr.endswith(f"see how the id is spelt; most like it: '{ANNA}'\n")
        assert (place.files().keys(), len(place.of(ANNA)[0])) == (before, 2)


def test_old_sessions_go(kafka: str, topics: str, tmp_path: Path) -> None:
    """Dry run and run tell the same; ended sessions are gone, open ones stay, and the next export brings none back."""
    with Fleet(kafka, topics, tmp_path, quiet_ms=QUIET_MS, session_timeout_ms=SESSION_TIMEOUT_MS) as fleet:
        place = Place(fleet, tmp_path)
        worker = place.start()
        produce(kafka, fleet.names.raw, iter([said_ for n, user in enumerate(USERS) for said_ in said(user, 10 * n)]))
        fleet.await_processed()
        assert worker.stop() == 0
        place.export()
        before = place.files()
        dry = place.told("retention", "--older-than", "30d", "--dry-run", *place.roots)
        assert {n: c for n, c in place.files().items() if "store.db" not in n} == {
            n: c for n, c in before.items() if "store.db" not in n
        }
        done = place.told("retention", "--older-than", "30d", "--yes", *place.roots)
        for name in ("store", "targets"):
            assert done[name] == dry[name]
        assert (done["store"]["sessions"], [one["bundles"] for one in done["targets"]]) == (3, [3, 0])
        left = {path.parent.name for path in place.bundles.rglob("bundle.json")}
        assert not any(b"wordanna one" in content for content in place.files().values())
        assert not any(b"wordanna note" in content for content in place.files().values())
        fleet.start()
        # Late: it belongs to a session that is gone; its end comes again as a revision.
        produce(kafka, fleet.names.raw, iter([("ben", message("ben", BASE_MS + 60_000, number=77))]))
        fleet.await_processed()
        place.export()
        assert {path.parent.name for path in place.bundles.rglob("bundle.json")} == left
        store = open_store(place.address)
        assert {s.session_id for s in store.reader.sessions(SessionFilter(), limit=99)} == left
        store.close()
        again = place.told("retention", "--older-than", "30d", "--yes", *place.roots)
        assert (again["store"]["sessions"], again["store"]["messages"]) == (0, 0)
        assert [(one["bundles"], one["rows"]) for one in again["targets"]] == [(0, 0), (0, 0)]


@pytest.mark.long
def test_a_processor_that_starts_meanwhile(
    kafka: str, topics: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that joins before the tombstone is written restores without them, or nothing is written and that is said."""
    with Fleet(kafka, topics, tmp_path, quiet_ms=QUIET_MS, session_timeout_ms=SESSION_TIMEOUT_MS) as fleet:
        place = Place(fleet, tmp_path)
        worker = place.start()
        produce(kafka, fleet.names.raw, iter([*said(ANNA, 0), *said("ben", 10)]))
        fleet.await_processed()
        assert worker.stop() == 0
        bens = place.states()[b"ben"]
        write = erasure._write_tombstones
        joined: list[Worker] = []

        def write_late(conf: LogConf, *arguments: Any) -> None:
            admin = AdminClient({"bootstrap.servers": kafka})
            joined.append(fleet.start())
            await_true("the processor joins", lambda: len(_members(admin, conf.group_id)) > 0)
            write(conf, *arguments)

        monkeypatch.setattr(erasure, "_write_tombstones", write_late)
        settings = load(dict(fleet.environ), tmp_path).settings
        is_forgotten = True
        try:
            key = ANNA.encode()
            erasure.forget(log_conf(settings, 0, PARTITIONS), {partition_of(key, PARTITIONS): [key]})
        except UsageError:  # The group has moved on, and the broker refused the transaction.
            is_forgotten = False
        await_true("it reads", lambda: joined[0].said("restored") == PARTITIONS)
        at_ms = BASE_MS + 3 * HOUR_MS + 60_000
        produce(kafka, fleet.names.raw, iter([(u, message(u, at_ms, number=900)) for u in (ANNA, "ben")]))
        fleet.await_processed()
        place.export()
        store = open_store(place.address)
        anna, ben = (store.reader.sessions(SessionFilter(owner=user), limit=1)[0] for user in (ANNA, "ben"))
        store.close()
        assert (anna.previous_session_id is None, anna.held_count) == (is_forgotten, 1 if is_forgotten else 2)
        assert ben.held_count == 2
        assert place.states()[b"ben"] != bens  # And goes on where it was.


def test_over_http(kafka: str, topics: str, tmp_path: Path) -> None:
    """While the processor runs: gone to the byte, and a 410 at once."""
    with Fleet(kafka, topics, tmp_path, quiet_ms=QUIET_MS, session_timeout_ms=SESSION_TIMEOUT_MS) as fleet:
        place = Place(fleet, tmp_path)
        place.start()
        produce(kafka, fleet.names.raw, iter([said_ for n, user in enumerate(USERS) for said_ in said(user, 10 * n)]))
        fleet.await_processed()
        place.export()
        environ = {**fleet.environ, "A3CP_STORE_URL": place.address}
        service = Service(environ, tmp_path / "serve.log", ["--port", "0", "--bundles", str(place.bundles)])
        try:
            http = service.ready()
            ids = [one["session_id"] for one in http.get(f"/v1/sessions?user_id={ANNA}").json()["sessions"]]
            others = {user: place.of(user) for user in USERS[1:]}
            asked = {"to": [str(place.bundles), str(place.training)]}
            answer = http.post(f"/v1/users/{ANNA}/erase", json=asked)
            assert answer.status_code == 200, answer.text
            told = answer.json()
            assert (told["complete"], told["store"]["sessions"], len(ids)) == (True, 2, 2)
            assert [http.get(f"/v1/sessions/{session_id}").status_code for session_id in ids] == [410, 410]
            assert http.get(f"/v1/sessions?user_id={ANNA}").json()["sessions"] == []
            assert ANNA not in json.dumps(told["proof"])
            keyed = hmac.digest(told["receipt"].encode(), ANNA.encode(), "sha256").hex()
            assert (told["proof"]["user_hmac_sha256"], told["proof"]["complete"]) == (keyed, True)
        finally:
            service.kill()
        assert place.leaks() == []
        assert place.states()[ANNA.encode()] is None
        assert {user: place.of(user) for user in USERS[1:]} == others


def test_the_profile_goes_first(topics: str, kafka: str, tmp_path: Path) -> None:
    """By the e-mail address that the person knows; the log holds only the pseudonym, and the proof says it is gone."""
    address, profiles = f"sqlite:///{tmp_path / 'store.db'}", f"sqlite:///{tmp_path / 'profiles.db'}"
    open_store(address).close()
    known = open_profiles(profiles, Pseudonyms(b"a key of this site"), None)
    pseudonym = known.pseudonym_of("anna@example.org", {"user_name": "Anna"})
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka, "A3CP_TOPIC_PREFIX": topics, "A3CP_PROFILE_STORE_URL": profiles,
        "A3CP_SITE_KEY": "a key of this site",
    }  # fmt: skip

    def erase(*more: str) -> dict[str, Any]:
        done = a3cp("erase", "Anna@example.org", "--store", address, "--json", *more, environ=environ, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    assert erase("--dry-run")["profile"]
    assert known.profile(pseudonym) is not None
    told = erase()
    assert json.loads(Path(tmp_path / told["proof"]).read_text())["profile"]
    assert known.profile(pseudonym) is None
    assert "anna@example.org" not in json.dumps(told)
