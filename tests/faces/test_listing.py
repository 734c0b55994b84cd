"""Routes that read many sessions; each tells those alone that the caller sees."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from processor.faces.v1.queries import listing
from processor.in_memory import MemoryDeployment
from tests.faces.reading import ALL, HOUR_MS, MINUTE_MS, command, problem, reading, say, sees, start

FILTERED = ("/v1/sessions", "/v1/sessions/count", "/v1/search?q=hello", "/v1/stats")
MANY = (*FILTERED, "/v1/active", "/v1/users/ann/sessions", "/v1/users/ann/active", "/v1/users/ann/summary")


def get(http: TestClient, path: str, **params: Any) -> Any:
    answer = http.get(path, params=params or None)
    assert answer.status_code == 200, answer.text
    assert answer.headers["a3cp-position"]
    return answer.json()


def day(deployment: MemoryDeployment) -> dict[str, str]:
    """Make some sessions, a minute apart, half of them in the store; return their ids by what they are."""
    ids = {"closed": start(deployment, "ann", session_notes="a calm morning")}
    say(deployment, "ann", transcript="hello world")
    deployment.advance(MINUTE_MS)
    command(deployment, "ann", "end")
    ids["lane"] = start(deployment, "ann~00000001", template="interview")
    say(deployment, "ann~00000001", transcript="hello there")
    command(deployment, "ann~00000001", "tag", tags={"add": ["urgent"]})
    deployment.advance(MINUTE_MS)
    deployment.export()
    ids["bob"] = start(deployment, "bob")
    say(deployment, "bob", transcript="hello bob", session_id="sess_other")
    command(deployment, "bob", "status", status="running")
    deployment.advance(MINUTE_MS)
    ids["paused"] = start(deployment, "ann~00000002")
    command(deployment, "ann~00000002", "pause")
    return ids


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["paused", "bob", "lane", "closed"]),
        ("user_id=ann", ["paused", "lane", "closed"]),
        ("user_id=ann~00000001", []),
        ("user_id=nobody", []),
        ("status=active", ["bob", "lane"]),
        ("status=paused", ["paused"]),
        ("status=closed", ["closed"]),
        ("status=open", ["paused", "bob", "lane"]),
        ("status=complete", ["closed"]),
        ("template=interview", ["lane"]),
        ("tag=urgent", ["lane"]),
        ("tag=urge", []),
        ("flag=session_mismatch", ["bob"]),
        ("flag=late&flag=session_mismatch", ["bob"]),
        ("phase=running", ["bob"]),
        ("min_duration_s=60", ["closed"]),
        ("min_duration_s=60.001", []),
        ("has_notes=true", ["closed"]),
        ("since=2025-06-15T15:08:40Z", ["paused", "bob"]),
        ("until=2025-06-15T15:08:40Z", ["lane", "closed"]),
        ("since=2025-06-15&until=2025-06-16", ["paused", "bob", "lane", "closed"]),
        ("q=hello", ["bob", "lane", "closed"]),
        ("q=hello+there", ["lane"]),
        ("q=hello&user_id=bob", ["bob"]),
        ("q=morning", ["closed"]),
    ],
)
def test_one_grammar_for_lists_counts_and_sums(
    deployment: MemoryDeployment, http: TestClient, query: str, names: list[str]
) -> None:
    """What passes is listed, counted and added up alike, wherever it is held."""
    ids = day(deployment)
    listed = get(http, f"/v1/sessions?{query}")
    assert [session["session_id"] for session in listed["sessions"]] == [ids[name] for name in names]
    assert (listed["total"], listed["next_cursor"]) == (len(names), None)
    assert get(http, f"/v1/sessions/count?{query}") == {"count": len(names)}
    by_user = get(http, f"/v1/stats?by=user&{query}")["stats"]
    assert sum(total["sessions"] for total in by_user.values()) == len(names)


@pytest.mark.parametrize("is_stored", [True, False])
@pytest.mark.parametrize("fields", [{"text": "hello there"}, {"role": "user", "content": "hello there"}])
def test_what_is_written_is_found(
    deployment: MemoryDeployment, http: TestClient, fields: dict[str, str], is_stored: bool
) -> None:
    """Text of a chat or an input field, in the store and beyond it."""
    session_id = start(deployment, "ann")
    say(deployment, "ann", **fields)
    if is_stored:
        deployment.export()
    assert [session["session_id"] for session in get(http, "/v1/sessions?q=hello+there")["sessions"]] == [session_id]
    assert get(http, "/v1/sessions/count?q=hello+bob") == {"count": 0}


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_hold_every_session_once(deployment: MemoryDeployment, http: TestClient, limit: int) -> None:
    """Also when sessions start while one turns pages."""
    ids = day(deployment)
    seen: list[str] = []
    params: dict[str, Any] = {"limit": limit}
    while True:
        page = get(http, "/v1/sessions", **params)
        seen += [session["session_id"] for session in page["sessions"]]
        deployment.advance(1)
        start(deployment, f"new{len(seen)}")
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert seen == [ids[name] for name in ("paused", "bob", "lane", "closed")]


def test_pages_by_offset(deployment: MemoryDeployment, http: TestClient) -> None:
    """For those who count pages."""
    ids = day(deployment)
    page = get(http, "/v1/sessions", limit=2, offset=1)
    assert [session["session_id"] for session in page["sessions"]] == [ids["bob"], ids["lane"]]
    assert page["total"] == 4


def test_a_list_can_be_of_some_fields(deployment: MemoryDeployment, http: TestClient) -> None:
    """Those that are told by events are read for it."""
    day(deployment)
    command(deployment, "bob", "context", context={"place": "kitchen"})
    page = get(http, "/v1/sessions", user_id="bob", fields="context,user_id")
    assert page["sessions"] == [{"context": {"place": "kitchen"}, "user_id": "bob"}]


def test_a_search_tells_where_it_found(deployment: MemoryDeployment, http: TestClient) -> None:
    """The session, the person, the time, the place and the words."""
    ids = day(deployment)
    (found,) = get(http, "/v1/search?q=there")["found"]
    assert (found["session_id"], found["user_id"]) == (ids["lane"], "ann")
    assert (found["place"], found["text"]) == ("transcript", "hello there")
    assert found["expressed_by"] == "carer"
    assert get(http, "/v1/search?q=there&expressed_by=carer")["found"] == [found]
    assert get(http, "/v1/search?q=there&expressed_by=user")["found"] == []


def test_a_word_that_is_everywhere_is_not_counted_wrongly(
    deployment: MemoryDeployment, http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where not all texts with a word are looked into, a list has no total, a count says so, a file is refused."""
    day(deployment)
    assert get(http, "/v1/sessions?q=hello")["total"] == 3
    monkeypatch.setattr(listing, "FOUND_MAX", 2)
    page = get(http, "/v1/sessions?q=hello")
    assert (len(page["sessions"]), "total" in page) == (2, False)
    for path in ("/v1/sessions/count", "/v1/stats"):
        assert "a3cp-incomplete" not in http.get(path).headers
        assert "the words are in more texts" in http.get(path, params={"q": "hello"}).headers["a3cp-incomplete"]
    monkeypatch.setattr(listing, "FOUND_MAX", 1)
    refused = http.get("/v1/users/ann/export?q=hello")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("by", "keys"), [("user", ["ann", "bob"]), ("day", ["2025-06-15"]), ("template", ["", "interview"])]
)
def test_sums_are_by_day_user_or_template(
    deployment: MemoryDeployment, http: TestClient, by: str, keys: list[str]
) -> None:
    """Persons, never lanes."""
    day(deployment)
    told = get(http, "/v1/stats", by=by)
    assert (told["by"], sorted(told["stats"])) == (by, keys)


def test_sums_of_persons_have_their_days(deployment: MemoryDeployment, http: TestClient) -> None:
    """They add up to the sums; of other sums there are none, and only of those whom the token sees."""
    day(deployment)
    whole = get(http, "/v1/stats", by="user", days=True)["stats"]
    assert whole.keys() == get(http, "/v1/stats", by="user")["stats"].keys()
    for told in whole.values():
        for name in ("sessions", "messages", "duration_ms"):
            assert sum(each[name] for each in told["days"].values()) == told[name]
        assert sum(each["flags"] for each in told["days"].values()) == sum(told["summary"]["flags"].values())
    assert list(whole["ann"]["days"]) == ["2025-06-15"]
    problem(http.get("/v1/stats?by=day&days=true"), 422, "invalid_request")
    with reading(deployment, sees("bob")) as only_bob:
        assert list(get(only_bob, "/v1/stats", by="user", days=True)["stats"]) == ["bob"]


def test_open_sessions_are_counted(deployment: MemoryDeployment, http: TestClient) -> None:
    """Under the names of three documents."""
    day(deployment)
    assert get(http, "/v1/active") == {
        "kafka": 3, "fallback": 0, "total": 3, "by_template": {"": 2, "interview": 1},
        "firebase_sessions": 3, "memory_sessions": 0,
    }  # fmt: skip


def test_a_person_s_sessions(deployment: MemoryDeployment, http: TestClient) -> None:
    """All, the open ones, and what they add up to."""
    ids = day(deployment)
    of = "/v1/users/ann"
    assert [each["session_id"] for each in get(http, f"{of}/sessions")["sessions"]] == [
        ids[name] for name in ("paused", "lane", "closed")
    ]
    assert [each["session_id"] for each in get(http, f"{of}/active")["sessions"]] == [ids["paused"], ids["lane"]]
    summary = get(http, f"{of}/summary")
    assert (summary["user_id"], summary["sessions"], summary["messages"]) == ("ann", 3, 2)
    assert get(http, "/v1/users/..%2Fx/sessions")["sessions"] == []
    assert get(http, "/v1/users/nobody/summary")["sessions"] == 0


@pytest.mark.parametrize("route", ["sessions", "active", "summary", "export"])
def test_an_id_that_nobody_can_have(http: TestClient, route: str) -> None:
    """It is nobody's, as any other that has no sessions."""
    for user_id in ("x" * 3_000, "a%00b"):
        assert http.get(f"/v1/users/{user_id}/{route}").status_code == (404 if route == "export" else 200)


@pytest.mark.parametrize("path", MANY)
def test_nobody_learns_of_foreign_sessions(deployment: MemoryDeployment, path: str) -> None:
    """Lists, counts, search and sums are as if there were none."""
    with reading(deployment, sees("carl")) as http:
        empty = get(http, path)
        day(deployment)
        told = get(http, path)
    for changing in ("position", "complete_since"):
        empty.pop(changing, None)
        told.pop(changing, None)
    assert told == empty


def test_a_caller_sees_their_own_users(deployment: MemoryDeployment) -> None:
    """And may ask for one of them only."""
    day(deployment)
    with reading(deployment, sees("bob", "carl")) as http:
        assert get(http, "/v1/sessions/count") == {"count": 1}
        assert get(http, "/v1/sessions/count", user_id="ann") == {"count": 0}
        assert get(http, "/v1/active")["total"] == 1
        assert len(get(http, "/v1/search?q=hello")["found"]) == 1
    with reading(deployment, ALL) as http:
        assert get(http, "/v1/sessions/count") == {"count": 4}


@pytest.mark.parametrize("path", MANY)
@pytest.mark.parametrize("query", ["nosuch=1", "user=ann", "limit=5000000000", "as_of=2025-06-15", "tag=a&tag=b"])
def test_what_no_route_knows_is_refused(http: TestClient, path: str, query: str) -> None:
    """A misspelt filter that is ignored would tell too much."""
    problem(http.get(f"{path}{'&' if '?' in path else '?'}{query}"), 422, "invalid_request")


def test_a_filter_that_is_given_twice_is_refused(http: TestClient) -> None:
    """Else a list of one person could be that of another; only a list of flags has several."""
    told = problem(http.get("/v1/sessions?user_id=ann&user_id=bob"), 422, "invalid_request")
    assert told["detail"] == "query.user_id: it is given twice"
    get(http, "/v1/sessions?flag=late&flag=duplicate")


@pytest.mark.parametrize("path", FILTERED)
@pytest.mark.parametrize(
    "query",
    [
        "user_id=", "user_id=%00", "status=gone", "since=yesterday", "until=2025-02-30", "flag=nosuch", "tag=",
        "phase=%00", "template=%00", "min_duration_s=-1", "min_duration_s=nan", "min_duration_s=inf",
        "has_notes=perhaps", "q=", "q=%00",
    ],
)  # fmt: skip
def test_a_wrong_filter_is_refused(http: TestClient, path: str, query: str) -> None:
    """With the parameter's name."""
    told = problem(http.get(f"{path}{'&' if '?' in path else '?'}{query}"), 422, "invalid_request")
    assert query.partition("=")[0] in told["errors"][0]["loc"]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "offset=-1", "offset=10001", "cursor=x", "cursor=AAAAAAAAAAAAAAAA", "cursor=%C3%A9",
     "sort=start_time", "fields=nosuch", "fields="],
)  # fmt: skip
def test_a_wrong_page_is_refused(http: TestClient, query: str) -> None:
    """Cursors are signed: one that was made up is told from one that was given."""
    problem(http.get(f"/v1/sessions?{query}"), 422, "invalid_request")


def test_a_page_begins_at_one_place(deployment: MemoryDeployment, http: TestClient) -> None:
    """An offset and a cursor contradict each other; so do a path and a parameter that name two users."""
    day(deployment)
    cursor = get(http, "/v1/sessions", limit=1)["next_cursor"]
    problem(http.get("/v1/sessions", params={"cursor": cursor, "offset": 1}), 422, "invalid_request")
    problem(http.get("/v1/users/ann/sessions?user_id=bob"), 422, "invalid_request")


@pytest.mark.parametrize("words", ["hello OR", '"', "hello*", "(", "NEAR(", "-x", "a" * 512, "ключ", "%", "col:x"])
def test_any_words_may_be_searched_for(deployment: MemoryDeployment, http: TestClient, words: str) -> None:
    """They are words, never a language of queries."""
    day(deployment)
    get(http, "/v1/search", q=words)
    get(http, "/v1/sessions", q=words)


def test_times_are_those_of_the_day(deployment: MemoryDeployment, http: TestClient) -> None:
    """A session of long ago is listed as well."""
    old = start(deployment, "ann")
    deployment.advance(48 * HOUR_MS)
    deployment.export()
    new = start(deployment, "ann")
    assert [each["session_id"] for each in get(http, "/v1/sessions")["sessions"]] == [new, old]
    assert [each["session_id"] for each in get(http, "/v1/sessions", status="open")["sessions"]] == [new]
