"""`a3cp export` on a real Kafka: killed in the middle or several at once, it leaves what a calm run leaves."""

import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from processor.sessions.ports import SessionFilter
from processor.sessions.projection.feed import OutputRecord
from processor.store import open_store
from tests.broker.fleet import await_true
from tests.broker.made_anew import make_anew
from tests.broker.site import Site
from tests.cli.running import a3cp
from tests.sessions.outputs import message, processed

TIMEOUT_S = 60.0
USERS = 40
MESSAGES = 3_000
KILLS = 4


@pytest.fixture(scope="module")
def records() -> list[OutputRecord]:
    values = [
        message(f"user-{n % USERS}", n * 2_000, source="ui", transcript=f"word{n} said", consent_given=n % 7 > 0)
        for n in range(MESSAGES)
    ]
    return processed(values)


@pytest.fixture
def site(kafka: str, topics: str, tmp_path: Path) -> Site:
    return Site(kafka, topics, tmp_path)


def held(address: str) -> list[Any]:
    """Return all that a store holds, but for when records were appended: that is Kafka's to say."""
    store = open_store(address)
    sessions = sorted(store.reader.sessions(SessionFilter(), limit=10_000))
    content = [
        (row, list(store.reader.messages(row.session_id)), list(store.reader.events(row.session_id)))
        for row in sessions
    ]
    texts = sorted(store.reader.search("said", limit=10_000))
    found = [
        content,
        texts,
        sorted(store.writer.offsets().items()),
        list(store.reader.unreadable()),
        store.reader.totals(),
    ]
    store.close()
    return found


@pytest.mark.broker
def test_an_export_and_what_it_shows(site: Site, records: list[OutputRecord], address: str) -> None:
    """Only what was committed counts, all sessions are complete, and a second run has nothing to do."""
    site.produce(records[:600], abort=True)
    first = site.run("export", "--store", address)
    assert first["left"] == 0
    assert first["written"]["messages"] == sum(r.topic == "tagged" for r in records[:600])
    site.produce(records[600:])
    second = site.run("export", "--store", address)
    assert second["held"]["messages"] == MESSAGES
    assert second["held"]["sessions"] == {"open": 0, "partial": 0, "complete": USERS}
    assert second["partial"] == []
    assert site.run("export", "--store", address)["written"] == {"messages": 0, "events": 0, "unreadable": 0}
    listed = site.run("sessions", "list", "--store", address, "--flag", "no_consent", "--limit", "5", "--page", "2")
    assert (listed["count"], len(listed["sessions"])) == (USERS, 5)
    shown = site.run("sessions", "show", listed["sessions"][0]["session_id"], "--store", address)
    assert [event["kind"] for event in shown["events"]] == ["started", "ended"]
    assert shown["summary"]["expressed_by"] == {"carer": shown["message_count"]}
    (found,) = site.run("sessions", "search", "word77 SAID", "--store", address)["found"]
    assert found["user_id"] == "user-37"


@pytest.mark.broker
@pytest.mark.long
def test_killed_while_following(site: Site, records: list[OutputRecord], address: str, tmp_path: Path) -> None:
    """Two exporters share the partitions and are killed in turn while records arrive: the store is a calm run's."""
    chance = random.Random(4)
    following = [site.follow(address), site.follow(address)]
    step = -(-len(records) // (KILLS + 1))
    try:
        for number in range(KILLS + 1):
            site.produce(records[number * step : (number + 1) * step], abort=number == 2, size=50)
            if number == KILLS:
                break
            time.sleep(chance.uniform(0.1, 1.5))
            victim = following[number % 2]
            victim.send_signal(signal.SIGKILL)
            victim.wait(TIMEOUT_S)
            following[number % 2] = site.follow(address)
        done = site.run("export", "--store", address)
        assert done["held"]["sessions"] == {"open": 0, "partial": 0, "complete": USERS}
        await_true("both follow", lambda: site.followers(address) == 2)
    finally:
        for exporter in following:
            exporter.send_signal(signal.SIGTERM)
        codes = [exporter.wait(TIMEOUT_S) for exporter in following]
    assert codes == [0, 0], (tmp_path / "follow.log").read_text()
    calm = f"sqlite:///{tmp_path / 'calm.db'}"
    site.run("export", "--store", calm)
    assert held(address) == held(calm)


def refusal(site: Site, address: str, *arguments: str) -> str:
    """Export, or what else is named, in vain, and return what was said."""
    done = a3cp(*(arguments or ["export"]), "--store", address, environ=site.environ)
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stderr


@pytest.mark.broker
def test_topics_that_lost_records_are_refused(site: Site, records: list[OutputRecord], address: str) -> None:
    """A store that is further than the topics is refused, and one whose last record is another."""
    site.produce(records[:50])
    site.run("export", "--store", address)
    store = open_store(address)
    with store.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE messages SET append_ms = append_ms + 1")
    assert "holds another record of tagged[" in refusal(site, address)
    with store.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE messages SET append_ms = append_ms - 1")
    assert site.run("export", "--store", address)["written"]["messages"] == 0
    with store.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE sources SET next_offset = next_offset + 1000")
    store.close()
    assert "it lost records, as when it was restored from a backup" in refusal(site, address)


@pytest.mark.broker
@pytest.mark.parametrize("count", [20, 50, 90], ids=["fewer", "as many", "more"])
def test_topics_made_anew_are_refused(
    site: Site, records: list[OutputRecord], kafka: str, topics: str, tmp_path: Path, count: int
) -> None:
    """However many records the new topics hold, none gets into the store, whether it is followed or exported."""
    address = f"sqlite:///{tmp_path / 'store.db'}"
    site.produce(records[:50])
    before = site.run("export", "--store", address)["held"]
    following = site.follow(address)
    try:
        make_anew(kafka, topics, "tagged", "sessions")
        site.produce(records[:count])
        assert following.wait(TIMEOUT_S) == 2
    finally:
        following.kill()
    assert f"a former {topics}.tagged and {topics}.sessions, deleted and made anew since" in refusal(site, address)
    assert f"a former {topics}.tagged" in refusal(site, address, "erase", "user-1")
    fresh = f"sqlite:///{tmp_path / 'fresh.db'}"
    assert site.run("export", "--store", fresh)["left"] == 0
    store = open_store(address)
    assert store.reader.totals().messages == before["messages"]
    store.close()
