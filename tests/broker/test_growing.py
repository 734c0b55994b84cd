"""`a3cp topics grow` on a real Kafka: killed at every step, and every session goes on as if nothing had happened."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka.admin import AdminClient

from processor.codec.tagged import TaggedView
from processor.errors import UsageError
from processor.kafka.stopped.growing import Growing
from processor.kafka.stopped.standing_in import standing_in
from processor.kafka.topics.admin import ensure_topics
from processor.processes.service.viewing import Viewing
from processor.processes.worker.starting import place
from processor.runtime.partitioner import partition_of
from processor.settings.sources import load
from processor.view.view import View
from processor.wiring import log_conf
from tests.broker.audit import make_codec, read_topic
from tests.broker.fleet import BASE_MS, Fleet, await_true, message, produce
from tests.cli.running import PROGRAM

pytestmark = pytest.mark.broker

BEFORE: Final = 3
AFTER: Final = 6
USERS: Final = [f"user-{number}" for number in range(24)]
QUIET_MS: Final = 3_600_000  # The clock ends nothing meanwhile,
SESSION_TIMEOUT_MS: Final = 6_000  # and who stands still for a moment is a member still.


@pytest.fixture
def fleet(kafka: str, prefix: str, tmp_path: Path) -> Iterator[Fleet]:
    ensure_topics({"bootstrap.servers": kafka}, prefix, partitions=BEFORE)
    with Fleet(kafka, prefix, tmp_path, quiet_ms=QUIET_MS, session_timeout_ms=SESSION_TIMEOUT_MS) as made:
        yield made
    admin = AdminClient({"bootstrap.servers": kafka})
    for deleted in admin.delete_topics(list(made.names), request_timeout=60).values():
        deleted.result()


def said(turn: int) -> list[tuple[str, bytes]]:
    """Return three messages of each user, and a command of some: sessions are open, paused or ended."""
    records = []
    for number, user in enumerate(USERS):
        at_ms = BASE_MS + turn * 10_000
        records += [(user, message(user, at_ms + n, number=1_000 * turn + 10 * number + n)) for n in range(3)]
        if turn == 0 and number % 3:
            word = "pause" if number % 3 == 1 else "end"
            records.append((user, message(user, at_ms + 5, number=1_000 * turn + 10 * number + 5, command=word)))
    return records


def tags(fleet: Fleet) -> dict[str, list[TaggedView]]:
    """Return the tags of each user, those in the old partition first."""
    found = defaultdict(list)
    for rows in read_topic(fleet.bootstrap, fleet.names.tagged):
        for row in rows:
            view = make_codec().decode_tagged(row.value or b"")
            found[view.user_id].append(view)
    return found


def told(fleet: Fleet, *words: str) -> Any:
    code, text = fleet.a3cp(*words, "--json")
    assert code == 0, text
    return json.loads(text)


def kill_while_states_move(fleet: Fleet) -> None:
    """Begin to grow, and kill it (kill -9) once it says that states move."""
    words = [*PROGRAM, "topics", "grow", "--partitions", str(AFTER)]
    with subprocess.Popen(words, env={**os.environ, **fleet.environ}, stdout=subprocess.PIPE, text=True) as growing:
        assert growing.stdout is not None
        said = []
        for line in growing.stdout:
            said.append(line)
            if line.startswith("states move"):
                growing.kill()
        sys.stdout.write("".join(said))
        assert growing.wait() != 0


@pytest.mark.long
def test_nobody_notices(fleet: Fleet, tmp_path: Path) -> None:
    """Ids, numbers, digests and bundles, across a growth that was killed in between; producers go on meanwhile."""
    settings = load({**os.environ, **fleet.environ}, tmp_path).settings
    store, bundles = f"sqlite:///{tmp_path / 'store.db'}", str(tmp_path / "bundles")
    produce(fleet.bootstrap, fleet.names.raw, iter(said(0)), BEFORE)
    worker = fleet.start()
    fleet.await_processed()
    assert fleet.a3cp("topics", "grow", "--partitions", "8")[0] == 2
    assert told(fleet, "topics", "grow", "--partitions", str(AFTER), "--dry-run")["is_at_work"]
    code, text = fleet.a3cp("topics", "grow", "--partitions", str(AFTER))
    assert code == 2
    assert "workers of the group" in text
    assert worker.stop() == 0
    assert fleet.a3cp("export", "--store", store, "--to", bundles)[0] == 0
    before = tags(fleet)

    produce(fleet.bootstrap, fleet.names.raw, iter(said(1)), BEFORE)  # It waits.
    planned = told(fleet, "topics", "grow", "--partitions", str(AFTER), "--dry-run")
    assert (planned["before"], planned["after"], planned["users"]) == (BEFORE, AFTER, len(USERS))
    assert planned["moving"] == sum(partition_of(user.encode(), AFTER) >= BEFORE for user in USERS) > 5
    assert planned["waiting"] == 3 * len(USERS)
    viewing = Viewing(
        settings.kafka_conf(),
        fleet.names,
        View(make_codec(), None, partitions=BEFORE, cluster_id="", now_ms=lambda: BASE_MS),
        BEFORE,
    )
    viewing.check()
    kill_while_states_move(fleet)
    with pytest.raises(UsageError, match="unequal partition counts"):
        place(settings, None, lambda: None)
    refusals = []
    while True:  # What is left, a step at a time, each as if it were killed then.
        conf = log_conf(settings, 0, 0)
        growing = Growing(conf, fleet.names, AFTER)
        if growing.is_done:
            break
        with standing_in(conf, range(BEFORE), doing="growing", again="") as member:
            step, words = next(growing._steps(member))
            step()
        if not Growing(conf, fleet.names, AFTER).is_done:
            with pytest.raises(UsageError) as refused:
                place(settings, None, lambda: None)
            refusals.append((words, refused.value.what))
    assert any("no offsets of" in what for _, what in refusals), refusals  # Raw has its partitions, the group not yet.
    assert told(fleet, "topics", "grow", "--partitions", str(AFTER))["moving"] == 0

    def sees_it() -> bool:
        viewing.follow()
        return any(number >= BEFORE for _, number in viewing.positions())

    await_true("the view sees it", sees_it)
    with pytest.raises(UsageError, match="begins anew"):
        viewing.check()
    viewing.close()

    fleet.start()
    fleet.await_processed()
    produce(fleet.bootstrap, fleet.names.raw, iter(said(2)), BEFORE)  # By those who do not know yet.
    fleet.await_processed()
    produce(fleet.bootstrap, fleet.names.raw, iter(said(3)), AFTER)
    fleet.await_processed()
    for user, views in tags(fleet).items():
        number = USERS.index(user)
        first = before[user][0].session_id
        if number % 3 == 2:  # It had ended: the next message opens another one.
            assert [view.session_seq for view in views] == [1, 2, 3, *range(1, 10)]
            assert views[0].session_id == first != views[3].session_id
        else:
            assert [view.session_seq for view in views] == [*range(1, 13)]
            assert {view.session_id for view in views} == {first}
        assert ["while_paused" in view.flags for view in views[3:]] == [number % 3 == 1] * 9
    code, text = fleet.a3cp("audit")
    assert (code, "sound: every record" in text) == (0, True)
    assert fleet.a3cp("verify", "--topic")[0] == 0
    assert fleet.a3cp("export", "--store", store, "--to", bundles)[0] == 0
    assert fleet.a3cp("export", "--store", f"sqlite:///{tmp_path / 'new.db'}", "--to", str(tmp_path / "anew"))[0] == 0
    for root in (bundles, str(tmp_path / "anew")):
        assert told(fleet, "verify", root)["broken"] == 0
    ended = told(fleet, "sessions", "list", "--store", store)
    assert ended == told(fleet, "sessions", "list", "--store", f"sqlite:///{tmp_path / 'new.db'}")
