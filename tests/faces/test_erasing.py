"""A person is erased over HTTP: gone at once, with a proof that names nobody; or refused, and nothing is changed."""

import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from processor.bundles.writing import BundleWriter
from processor.errors import StoreUnavailable
from processor.in_memory import TOPICS, MemoryDeployment
from processor.profiles import Pseudonyms, open_profiles
from processor.sessions.ports import SessionFilter
from processor.targets.target import Target
from tests.faces.reading import HOUR_MS, command, problem, reading, say, sees, start
from tests.faces.stage import http_of

LANE = "ann~00000001"


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    return tmp_path / "bundles"


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[MemoryDeployment]:
    """Ann has a session that has ended and one in a lane; Bob has one. All is exported, and the processor stopped."""
    with MemoryDeployment(tmp_path) as deployment:
        for user_id in ("ann", LANE, "bob"):
            start(deployment, user_id)
            say(deployment, user_id, transcript=f"word{user_id[:3]}")
        command(deployment, "ann", "end")
        deployment.export()
        deployment.processor_is_away = True
        yield deployment


@pytest.fixture
def http(deployment: MemoryDeployment, bundles: Path) -> Iterator[TestClient]:
    write_bundles(deployment, bundles)
    with http_of(deployment, bundles_root=str(bundles)) as http:
        yield http


def write_bundles(deployment: MemoryDeployment, root: Path) -> None:
    """As the exporter does; the store remembers where."""
    rows = deployment.store.reader.sessions(SessionFilter(), limit=9)
    writer = BundleWriter(deployment.store.reader, Target(str(root)), deployment.codec, now_ms=deployment.clock.now_ms)
    for row in rows:
        writer.write(row)
    deployment.store.ledger.note_exported(f"{root} html", {row.session_id: row.changes for row in rows})


def sessions_of(http: TestClient, user_id: str) -> list[str]:
    found = http.get("/v1/sessions", params={"user_id": user_id}).json()["sessions"]
    return [session["session_id"] for session in found]


def everything(deployment: MemoryDeployment) -> list[Any]:
    """All that an erasure could change."""
    records = [[list(log) for log in deployment.broker.topics[name]] for name in TOPICS]
    files = {path: path.read_bytes() for path in deployment.folder.glob("*/**/*") if path.is_file()}
    return [records, deployment.store.reader.totals(), files]


def test_a_person_is_gone_at_once(deployment: MemoryDeployment, http: TestClient, bundles: Path) -> None:
    """With their lanes, from lists, search, what is open, bundles; on other replicas too. Bob stays as he was."""
    other = deployment.replica()
    ids = sessions_of(http, "ann")
    (bobs,) = sessions_of(http, "bob")
    shown = http.get(f"/v1/sessions/{bobs}").content
    assert len(ids) == 2
    encoded = [f"/v1/sessions/{ids[0]}{what}" for what in ("", "/messages")]
    assert [http.get(path).status_code for path in encoded] == [200, 200]

    answer = http.post("/v1/users/ann/erase")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["complete"], told["dry_run"], told["in_the_way"]) == (True, False, [])
    assert (told["store"]["sessions"], told["store"]["messages"]) == (2, 2)
    assert [one["bundles"] for one in told["targets"]] == [2]
    assert {one["topic"] for one in told["remains"]} == {"raw", "tagged", "sessions"}

    for path in encoded:
        problem(http.get(path), 410, "session_removed")
    for replica in (deployment, other):
        with reading(replica) as reader:
            for session_id in ids:
                problem(reader.get(f"/v1/sessions/{session_id}"), 410, "session_removed")
                problem(reader.post(f"/v1/sessions/{session_id}/pause"), 410, "session_removed")
            assert sessions_of(reader, "ann") == []
            assert reader.get("/v1/search", params={"q": "wordann"}).json()["found"] == []
            assert reader.get("/v1/active").json()["total"] == 1
            assert sessions_of(reader, "bob") == [bobs]
    assert http.get(f"/v1/sessions/{bobs}").content == shown
    assert not any(b"wordann" in path.read_bytes() for path in bundles.rglob("*") if path.is_file())
    assert [path.parent.name for path in bundles.rglob("bundle.json")] == [bobs]


def test_the_proof_names_nobody(http: TestClient) -> None:
    """With the receipt and the id anybody can show whose it is. Once all is gone, there is nothing to prove."""
    told = http.post("/v1/users/ann/erase").json()
    proof = told["proof"]
    assert "ann" not in json.dumps(proof)
    assert proof["user_hmac_sha256"] == hmac.digest(told["receipt"].encode(), b"ann", "sha256").hex()
    assert (proof["complete"], proof["store"]["sessions"]) == (True, 2)
    again = http.post("/v1/users/ann/erase").json()
    assert (again["proof"], again["receipt"], again["complete"]) == (None, None, True)


def test_a_dry_run_changes_nothing(deployment: MemoryDeployment, http: TestClient, bundles: Path) -> None:
    """It tells what the run then does."""
    before = everything(deployment)
    dry = http.post("/v1/users/ann/erase", json={"dry_run": True}).json()
    assert everything(deployment) == before
    assert (dry["complete"], dry["proof"], dry["receipt"]) == (False, None, None)
    done = http.post("/v1/users/ann/erase", json={"to": [str(bundles)]}).json()
    assert {name: done[name] for name in ("store", "targets", "state")} == {
        name: dry[name] for name in ("store", "targets", "state")
    }


def test_the_processor_erases_while_it_runs(deployment: MemoryDeployment, http: TestClient) -> None:
    """It is asked in the log: an open session goes too, and what the person says next begins another one."""
    deployment.processor_is_away = False
    command(deployment, "ann", "start")
    say(deployment, "ann", transcript="hello")
    deployment.export()
    ids = sessions_of(http, "ann")
    told = http.post("/v1/users/ann/erase").json()
    assert (told["complete"], told["in_the_way"], len(ids)) == (True, [], 3)
    for session_id in ids:
        problem(http.get(f"/v1/sessions/{session_id}"), 410, "session_removed")
    assert http.get("/v1/users/ann/active").json()["sessions"] == []
    assert list(states_of(deployment)) == [b"bob"]
    deployment.advance(1)
    say(deployment, "ann", transcript="again")
    (again,) = sessions_of(http, "ann")
    assert again not in ids


def states_of(deployment: MemoryDeployment) -> dict[bytes, bytes]:
    """What the state topic holds after compaction."""
    records = [record for log in deployment.broker.topics["state"] for record in log]
    latest = {record.key() or b"": record.value() for record in records}
    return {key: value for key, value in latest.items() if value is not None}


def test_without_a_state_nothing_is_asked(deployment: MemoryDeployment, http: TestClient) -> None:
    """The processor has forgotten who has done nothing for days; their sessions are gone at once all the same."""
    deployment.processor_is_away = False
    deployment.advance(4 * 24 * HOUR_MS)
    deployment.export()
    ids = sessions_of(http, "ann")
    told = http.post("/v1/users/ann/erase").json()
    assert (told["state"]["partitions"], told["complete"], len(ids)) == ([], True, 2)
    for session_id in ids:
        problem(http.get(f"/v1/sessions/{session_id}"), 410, "session_removed")
    assert sessions_of(http, "ann") == []


def waits_for_the_processor(deployment: MemoryDeployment, _: Path) -> None:
    say(deployment, "ann", transcript="more")


def waits_for_the_exporter(deployment: MemoryDeployment, _: Path) -> None:
    deployment.processor_is_away = False
    say(deployment, "ann", transcript="more")
    deployment.processor_is_away = True


def has_another_root(deployment: MemoryDeployment, bundles: Path) -> None:
    write_bundles(deployment, bundles.with_name("elsewhere"))


@pytest.mark.parametrize(
    ("prepare", "word"),
    [
        (waits_for_the_processor, "wait to be processed"),
        (waits_for_the_exporter, "not in the store yet"),
        (has_another_root, "`to` does not name it"),
    ],
)
def test_what_is_in_the_way(
    deployment: MemoryDeployment, http: TestClient, bundles: Path, prepare: Any, word: str
) -> None:
    """It is refused, with what to do, and nothing is changed; a dry run tells it."""
    prepare(deployment, bundles)
    before = everything(deployment)
    answer = http.post("/v1/users/ann/erase")
    problem(answer, 409, "erasure_in_the_way")
    assert word in answer.json()["detail"]
    assert everything(deployment) == before
    (way,) = http.post("/v1/users/ann/erase", json={"dry_run": True}).json()["in_the_way"]
    assert way == f"{answer.json()['detail']}; {answer.json()['remedy']}"
    assert len(sessions_of(http, "ann")) == 2


def test_all_roots_are_named(deployment: MemoryDeployment, http: TestClient, bundles: Path) -> None:
    """Those that the store has exported to, and no other: a client cannot make the service look elsewhere."""
    elsewhere = bundles.with_name("elsewhere")
    has_another_root(deployment, bundles)
    bundles.with_name("private").mkdir()
    for root in (str(bundles.with_name("private")), "/", "file:///", "nothing://x"):
        problem(http.post("/v1/users/ann/erase", json={"to": [root]}), 422, "invalid_request")
    told = http.post("/v1/users/ann/erase", json={"to": [str(bundles), str(elsewhere)]}).json()
    assert [one["bundles"] for one in told["targets"]] == [2, 2]


def test_only_operators_and_only_whom_they_see(deployment: MemoryDeployment) -> None:
    """A person of whom nothing is held, and one whom the token does not see, are the same."""
    with reading(deployment, sees("ann")) as http:
        problem(http.post("/v1/users/ann/erase"), 403, "forbidden")
    with reading(deployment, sees("bob", role="operator")) as http:
        problem(http.post("/v1/users/ann/erase"), 404, "session_not_found")
    with reading(deployment) as http:
        problem(http.post("/v1/users/cleo/erase"), 404, "session_not_found")
        problem(http.post(f"/v1/users/{LANE}/erase"), 422, "invalid_request")
        assert len(sessions_of(http, "ann")) == 2


def test_by_the_address_that_the_person_gave(deployment: MemoryDeployment, tmp_path: Path) -> None:
    """Where there are profiles, and theirs goes too; without, it is refused."""
    profiles = open_profiles(f"sqlite:///{tmp_path / 'profiles.db'}", Pseudonyms(b"key"), None)
    pseudonym = profiles.pseudonym_of("cleo@example.org", {"user_name": "Cleo"})
    with http_of(deployment) as http:
        problem(http.post("/v1/users/cleo@example.org/erase"), 422, "invalid_request")
    with http_of(deployment, profiles=profiles) as http:
        told = http.post("/v1/users/cleo@example.org/erase").json()
    assert (told["profile"], told["complete"]) == (True, True)
    assert profiles.profile(pseudonym) is None
    assert "cleo" not in json.dumps(told)


def test_a_resume_goes_too(deployment: MemoryDeployment, tmp_path: Path) -> None:
    """Also that of a person whose id is no pseudonym, and of whom nothing else is left."""
    profiles = open_profiles(f"sqlite:///{tmp_path / 'profiles.db'}", Pseudonyms(b"key"), None)
    digest = profiles.keep_resume("dora", {"name": "Dora"})
    with http_of(deployment, profiles=profiles) as http:
        told = http.post("/v1/users/dora/erase").json()
    assert (told["profile"], told["complete"]) == (True, True)
    assert profiles.resume("dora", digest) is None
    assert not any("profile store" in place for place in told["not_touched"])


def test_what_no_setting_names_is_said_to_be_untouched(http: TestClient) -> None:
    """Else the profile that the service keeps would stay without a word when a command without its settings erases."""
    told = http.post("/v1/users/ann/erase").json()
    assert told["not_touched"][:2] == [
        "a profile store with links and bookmarks, as A3CP_PROFILE_STORE_URL names none",
        "an outbox, as A3CP_OUTBOX names none",
    ]
    assert told["proof"]["not_touched"] == told["not_touched"]


def test_an_interrupted_erasure_says_how_far_it_came(
    deployment: MemoryDeployment, http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its proof is in the problem, with the receipt; done again, it says that all is gone."""

    def fail(_: object) -> None:
        raise StoreUnavailable("others use the store")

    with monkeypatch.context() as patched:
        patched.setattr(type(deployment.store.removal), "scrub", fail)
        answer = http.post("/v1/users/ann/erase")
    problem(answer, 503, "store_unavailable")
    proof = answer.json()["proof"]
    assert (proof["complete"], proof["store"]["sessions"]) == (False, 2)
    assert proof["user_hmac_sha256"] == hmac.digest(answer.json()["receipt"].encode(), b"ann", "sha256").hex()
    assert http.post("/v1/users/ann/erase").json()["complete"]


def test_without_a_store(deployment: MemoryDeployment) -> None:
    """Nobody can be erased."""
    with http_of(deployment, places=None) as http:
        problem(http.post("/v1/users/ann/erase"), 503, "store_unavailable")
