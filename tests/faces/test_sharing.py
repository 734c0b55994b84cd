"""A session shared by a link: as it was, to whoever has the link, for some days, and until it is taken back."""

import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from processor.bundles.keys import make_keys, read_signing_key
from processor.faces.app import make_app
from processor.faces.auth.doors import Doors
from processor.faces.middleware.ratelimits import RateLimits
from processor.faces.middleware.shell import Shell
from processor.in_memory import MemoryDeployment, Replica
from processor.observe.logs import make_logger
from processor.profiles import Profiles, Pseudonyms, open_profiles
from processor.view.held import Held
from tests.cli.running import a3cp
from tests.faces.reading import ALL, MINUTE_MS, Named, ago, command, problem, say, sees, start
from tests.faces.stage import http_of

USER, CARER = "heron-07", "carer-eva"
DAY_S = 86_400


@pytest.fixture
def profiles(tmp_path: Path) -> Profiles:
    return opened(tmp_path)


@pytest.fixture
def http(deployment: MemoryDeployment, profiles: Profiles) -> Iterator[TestClient]:
    with http_of(deployment, profiles=profiles) as client:
        yield client


def opened(folder: Path) -> Profiles:
    """As each replica opens it."""
    return open_profiles(f"sqlite:///{folder / 'profiles.db'}", Pseudonyms(b"key"), None)


def session(deployment: MemoryDeployment, user_id: str = USER) -> str:
    session_id = start(deployment, user_id, session_notes=f"{user_id} was tired")
    say(deployment, user_id, transcript=f"the first word of {user_id}", performer_id=CARER)
    return session_id


def share(http: TestClient, session_id: str, **more: Any) -> dict[str, Any]:
    answer = http.post(f"/v1/sessions/{session_id}/shares", json={"expires_in_s": DAY_S, **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def data_of(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def closed(answer: Any, status: int, words: str) -> None:
    """The answer is the calm page with these words."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert words in answer.text
    assert USER not in answer.text


def test_a_link_shows_the_session_as_it_was(deployment: MemoryDeployment, http: TestClient) -> None:
    """What comes later does not leak, whether the log tells of it or the store; the digest stays what it was."""
    session_id = session(deployment)
    made = share(http, session_id)
    say(deployment, USER, transcript="the second word")
    command(deployment, USER, "note", note="a later note")
    command(deployment, USER, "end")
    for _ in range(2):
        page = http.get(made["url"])
        assert page.status_code == 200
        assert "the first word" in page.text
        assert "the second word" not in page.text
        assert "a later note" not in page.text
        proof = data_of(page.text)["proof"]
        assert proof == {"is_open": True, "count": 1, "digests": [made["digest"]] * 2}
        deployment.export()
    assert data_of(http.get(share(http, session_id)["url"]).text)["proof"]["count"] == 2


@pytest.mark.parametrize("by", ["position", "time"])
def test_a_moment_can_be_chosen(deployment: MemoryDeployment, http: TestClient, by: str) -> None:
    """A position, or a time; a moment before the session is refused."""
    session_id = session(deployment)
    position = http.get(f"/v1/sessions/{session_id}").headers["A3CP-Position"]
    deployment.advance(MINUTE_MS)
    say(deployment, USER, transcript="the second word")
    as_of = position if by == "position" else ago(deployment, MINUTE_MS // 2)
    page = http.get(share(http, session_id, as_of=as_of)["url"]).text
    assert "the first word" in page
    assert "the second word" not in page
    before = http.post(
        f"/v1/sessions/{session_id}/shares", json={"expires_in_s": 60, "as_of": ago(deployment, 9 * MINUTE_MS)}
    )
    problem(before, 404, "session_not_found")


def test_it_is_protected_as_a_page(deployment: MemoryDeployment, http: TestClient) -> None:
    """It is kept nowhere, leads nowhere, is in no frame and no index, and runs its own script alone."""
    headers = http.get(share(http, session(deployment))["url"]).headers
    assert (headers["cache-control"], headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert headers["x-robots-tag"] == "noindex"
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_a_link_is_taken_back_everywhere_at_once(
    deployment: MemoryDeployment, http: TestClient, tmp_path: Path
) -> None:
    """Another replica sees it; to take it back again changes nothing; the list still has it."""
    session_id = session(deployment)
    made, other = share(http, session_id), share(http, session_id)
    place = f"/v1/sessions/{session_id}/shares"
    with http_of(deployment.replica(), profiles=opened(tmp_path)) as elsewhere:
        assert elsewhere.get(made["url"]).status_code == 200
        answer = http.delete(f"{place}/{made['share_id']}")
        assert (answer.status_code, answer.json()["status"]) == (200, "revoked")
        closed(elsewhere.get(made["url"]), 410, "taken back")
        assert elsewhere.get(other["url"]).status_code == 200
        deployment.clock.time_ms += MINUTE_MS
        assert elsewhere.delete(f"{place}/{made['share_id']}").json() == answer.json()
    assert http.get(f"{place}/{made['share_id']}").json() == answer.json()
    listed = http.get(place).json()["shares"]
    assert {each["share_id"]: each["status"] for each in listed} == {
        made["share_id"]: "revoked",
        other["share_id"]: "valid",
    }
    problem(http.delete(f"{place}/{'0' * 16}"), 404, "not_found")


def test_a_link_expires(deployment: MemoryDeployment, http: TestClient) -> None:
    """At its time, and the list says so."""
    session_id = session(deployment)
    made = share(http, session_id, expires_in_s=60)
    deployment.clock.time_ms += 59_999
    assert http.get(made["url"]).status_code == 200
    deployment.clock.time_ms += 1
    closed(http.get(made["url"]), 410, "for some days only")
    assert [each["status"] for each in http.get(f"/v1/sessions/{session_id}/shares").json()["shares"]] == ["expired"]


def test_what_cannot_be_read_whole_raises_no_alarm(
    deployment: MemoryDeployment, http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an exporter is far behind, a part may be missing: nothing is shown then, and nothing is pinned."""
    session_id = session(deployment)
    made, whole = share(http, session_id), deployment.view.session

    def in_part(session_id: str, **how: Any) -> Held:
        held = whole(session_id, **how)
        assert held is not None
        return replace(held, is_whole=False)

    monkeypatch.setattr(deployment.view, "session", in_part)
    closed(http.get(made["url"]), 503, "at the moment")
    problem(http.post(f"/v1/sessions/{session_id}/shares", json={"expires_in_s": 60}), 503, "not_caught_up")


def test_to_erase_a_person_takes_their_links_back(deployment: MemoryDeployment, http: TestClient) -> None:
    """And nothing is kept of them; those of others stay."""
    mine, others = (share(http, session(deployment, user_id)) for user_id in (USER, "bob"))
    deployment.export()
    deployment.processor_is_away = True
    told = http.post(f"/v1/users/{USER}/erase").json()
    assert told["profile"], "what is kept beside the log was there, and was the first to go"
    closed(http.get(mine["url"]), 410, "no longer kept")
    assert http.get(others["url"]).status_code == 200


def test_an_id_alone_opens_nothing(deployment: MemoryDeployment, http: TestClient) -> None:
    """Nor does a signature of another share, or a part of the right one."""
    session_id = session(deployment)
    made, other = share(http, session_id), share(http, session_id)
    place, _, token = made["url"].rpartition("/")
    signature = other["url"].rpartition(".")[2]
    for wrong in (made["share_id"], token[:-1], f"{made['share_id']}.{signature}", "é", f"{token}x"):
        closed(http.get(f"{place}/{wrong}"), 404, "There is no such link")


@pytest.mark.parametrize("encoding", ["de-DE,en;q=0.5", "fr,de"])
def test_the_calm_page_speaks_the_readers_language(http: TestClient, encoding: str) -> None:
    """English unless the browser asks for German."""
    answer = http.get("/share/none", headers={"Accept-Language": encoding})
    assert '<html lang="de">' in answer.text
    assert "Diesen Link gibt es nicht." in answer.text


def test_what_is_redacted_stands_nowhere(deployment: MemoryDeployment, http: TestClient) -> None:
    """Neither in a record, nor in what is said of it, nor as a word of a sentence, nor in the head of the page."""
    session_id = session(deployment)
    fields = {"transcript": f"{USER}, please", "notes": f"{CARER} helped", "context": {"to": USER}}
    say(deployment, USER, performer_id="system", **fields)
    command(deployment, USER, "note", note="a private note")
    command(deployment, USER, "context", context={"with": f"{USER} and {CARER}x"})
    redact = ["user_id", "performer_id", "notes"]
    page = http.get(share(http, session_id, redact=redact)["url"]).text
    assert not re.search(rf"{USER}|{CARER}(?!x)|was tired|private|helped", page)
    assert "the first word of id-" in page, "the sentence is there"
    assert '"system"' in page, "what no person did stays so"
    assert len(set(re.findall(r"id-[0-9a-f]{6}", page))) == 3, "one for each: user, carer, and who sent commands"
    assert all(record_id not in page for record_id in record_ids(http, session_id)), "so that nobody can try guesses"
    assert data_of(page)["session"]["user_id"].startswith("id-")
    assert "the first word" in http.get(share(http, session_id)["url"]).text


def test_an_id_is_hidden_where_others_name_it(deployment: MemoryDeployment, http: TestClient) -> None:
    """In the notes at the start, and in what somebody else says."""
    session_id = session(deployment)
    say(deployment, USER, performer_id="other", transcript=f"{CARER} comes to {USER}")
    page = http.get(share(http, session_id, redact=["user_id", "performer_id"])["url"]).text
    assert not re.search(f"{USER}|{CARER}", page)
    assert re.search("id-[0-9a-f]{6} was tired", page)
    assert re.search("id-[0-9a-f]{6} comes to id-[0-9a-f]{6}", page)


def record_ids(http: TestClient, session_id: str) -> list[str]:
    messages = http.get(f"/v1/sessions/{session_id}/messages").json()["messages"]
    events = http.get(f"/v1/sessions/{session_id}/events").json()["events"]
    return [each["record_id"] for each in (*messages, *events)]


@pytest.mark.parametrize(
    "body",
    [
        {}, {"expires_in_s": 0}, {"expires_in_s": 90 * DAY_S + 1}, {"expires_in_s": 60, "as_of": "soon"},
        {"expires_in_s": 60, "redact": ["timestamp"]}, {"expires_in_s": 60, "redact": ["x"] * 51},
        {"expires_in_s": 60, "until": "tomorrow"},
    ],
)  # fmt: skip
def test_what_cannot_be_shared_so(deployment: MemoryDeployment, http: TestClient, body: dict[str, Any]) -> None:
    """90 days are the most; of a session some fields cannot be hidden."""
    problem(http.post(f"/v1/sessions/{session(deployment)}/shares", json=body), 422, "invalid_request")


def test_without_a_profile_store_nothing_is_shared(deployment: MemoryDeployment) -> None:
    """The remedy says what to set."""
    with http_of(deployment) as http:
        session_id = session(deployment)
        answer = http.post(f"/v1/sessions/{session_id}/shares", json={"expires_in_s": 60})
        told = problem(answer, 422, "invalid_request")
        assert "A3CP_PROFILE_STORE_URL" in told["remedy"]
        closed(http.get("/share/x"), 404, "There is no such link")


@contextmanager
def shop(replica: MemoryDeployment | Replica, profiles: Profiles, **shell: Any) -> Iterator[TestClient]:
    """A service with tokens, and a client that has none."""
    callers = (ALL, sees(USER), sees("bob"), sees(USER, role="producer"))
    app = make_app(replica.context(profiles=profiles), Shell(doors=Doors(Named(*callers)), **shell))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


def test_who_shares_and_who_reads(deployment: MemoryDeployment, profiles: Profiles) -> None:
    """Reviewers and operators share what they see; the reader needs the link alone."""
    session_id = session(deployment)
    place = f"/v1/sessions/{session_id}/shares"

    with shop(deployment, profiles) as http:

        def asked(name: str) -> Any:
            return http.post(place, json={"expires_in_s": 60}, headers={"Authorization": f"Bearer {name}"})

        problem(http.post(place, json={"expires_in_s": 60}), 401, "unauthenticated")
        problem(asked(f"producer-{USER}"), 403, "forbidden")
        problem(asked("reviewer-bob"), 404, "session_not_found")
        for name in ("all", f"reviewer-{USER}"):
            assert http.get(asked(name).json()["url"]).status_code == 200


def test_a_reader_cannot_ask_too_often(deployment: MemoryDeployment, profiles: Profiles) -> None:
    """The limit is for an address, since a reader has no name."""
    with shop(deployment, profiles, share_limits=RateLimits(2, lambda: 0.0)) as http:
        assert [http.get("/share/x").status_code for _ in range(3)] == [404, 404, 429]


def test_the_access_log_tells_what_was_read(deployment: MemoryDeployment, profiles: Profiles) -> None:
    """Which share and which session, and no person; the link itself is not in it."""
    out = io.StringIO()
    log = make_logger("serve", log_format="json", stream=out)
    with shop(deployment, profiles, log=log) as http:
        headers = {"Authorization": "Bearer all"}
        session_id = session(deployment)
        made = http.post(f"/v1/sessions/{session_id}/shares", json={"expires_in_s": 60}, headers=headers).json()
        http.get(made["url"])
    *_, line = [json.loads(text) for text in out.getvalue().splitlines()]
    assert (line["operation"], line["message"]) == ("read_share", "GET /share/{token}")
    assert line["metadata"]["share_id"] == made["share_id"]
    assert line["session_id"].startswith("#")
    assert made["url"].rpartition(".")[2] not in out.getvalue()
    assert USER not in out.getvalue()


@pytest.mark.parametrize("redact", [[], ["user_id"]])
def test_a_page_is_signed_if_the_service_has_the_key(
    deployment: MemoryDeployment, profiles: Profiles, tmp_path: Path, redact: list[str]
) -> None:
    """Whoever keeps the page can prove whose it is, what is hidden or not; a changed letter is found."""
    key_id = make_keys(tmp_path / "site")
    make_keys(tmp_path / "other")
    session_id, file = session(deployment), tmp_path / "page.html"
    with http_of(deployment, profiles=profiles, signer=read_signing_key(tmp_path / "site")) as http:
        file.write_bytes(http.get(share(http, session_id, redact=redact)["url"]).content)

    def verified(key: str, *more: str) -> tuple[int, str]:
        done = a3cp("verify", str(file), "--key", str(tmp_path / key), *more, environ={})
        return done.returncode, done.stdout + done.stderr

    assert verified("site.pub") == (
        0,
        f"sound   {file}  page\n1 page: 1 sound, 0 broken\nsignatures by the key {key_id}: 1, checked with it\n",
    )
    assert json.loads(verified("site.pub", "--json")[1])["reports"][0]["signed_by"] == key_id
    assert "which is none of those given" in verified("other.pub")[1]
    assert verified("site.pub", "--seal")[0] == 2
    signed = file.read_bytes()
    file.write_bytes(signed.replace(b"was tired", b"was tyred"))
    assert verified("site.pub")[0] == 1
    assert f"the key {key_id} has not signed these bytes" in verified("site.pub")[1]
    file.write_bytes(signed.rpartition(b"<!--")[0])
    assert "it is not signed" in verified("site.pub")[1]
