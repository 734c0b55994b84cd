"""Proofs agree: whatever state a session is in when it is read, `verify` and `audit` call it sound."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from processor.audit.outcomes import audit
from processor.audit.report import TWICE_SHOWN, AuditReport
from processor.audit.verifying import verify_topics
from processor.bundles.verify import verify
from processor.core.model import Rules
from processor.settings.documents import example_messages
from tests.audit.topics import MemoryTopics
from tests.broker.fleet import day
from tests.runtime.stage import CODEC, NAMES, RULES, Stage, fill
from tests.sessions.exports import ALL, Shares, exported


def audited(stage: Stage, rules: Rules = RULES) -> AuditReport:
    """Audit the topics, which `verify --topic` must find sound as well."""
    reports = verify_topics(MemoryTopics(stage.broker, NAMES), CODEC, NAMES)
    assert not [one for one in reports if one.problems]
    return audit(MemoryTopics(stage.broker, NAMES), CODEC, NAMES, rules, now_ms=stage.clock.now_ms())


def verified(stage: Stage, root: Path, shares: Sequence[Shares]) -> tuple[list[str], set[str]]:
    """Return what is wrong with the bundles of an export of what was read, and their states."""
    exported(stage, root, shares)
    reports = list(verify(str(root), CODEC))
    assert all(report.is_rendered for report in reports)
    return [f"{report.path}: {problem}" for report in reports for problem in report.problems], {
        str(report.status) for report in reports
    }


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2))])
def test_in_every_state(seed: int, tmp_path: Path) -> None:
    """Open, ended, ended by the clock and reopened, paused, revised, late, read in part, cut off: none is broken."""
    chance, stage = random.Random(seed), Stage()
    member = stage.member(batch_records_max=10)
    kinds: set[str] = set()
    for turn in range(5):
        fill(stage, 60, 100 * seed + turn)
        member.finish()
        for _ in range(chance.randrange(25)):
            stage.clock.time_ms += 10_000
            member.worker.step()
        assert audited(stage).problems == []
        behind = (0.0, chance.random()), (0.0, chance.random())
        cut_off = (chance.random() / 2, 1.0), (chance.random() / 2, 1.0)
        for number, shares in enumerate(((ALL, ALL), behind, cut_off)):
            problems, found = verified(stage, tmp_path / f"{turn}-{number}", shares)
            assert problems == []
            kinds |= found
    assert kinds == {"open", "complete", "partial"}


def send(stage: Stage, values: Sequence[bytes]) -> None:
    for value in values:
        stage.broker.produce(NAMES.raw, json.loads(value).get("user_id", "nobody"), value)


@pytest.mark.parametrize("clocked", [True, False], ids=["told by the clock", "told by the log alone"])
def test_what_is_sent_again_much_later(clocked: bool, tmp_path: Path) -> None:
    """Sessions that are opened twice are told as such by each proof, and nothing of it is wrong."""
    stage = Stage()
    values = [value for _, value in day(5, 120, 6, gap_ms=RULES.gap_ms)]
    member = stage.member(batch_records_max=10)
    for _ in range(3):
        send(stage, values)
        member.finish()
        for _ in range(200 if clocked else 0):
            stage.clock.time_ms += 60_000
            member.worker.step()
        stage.clock.time_ms += RULES.max_session_ms + 10 * RULES.late_horizon_ms
    report = audited(stage)
    assert report.problems == []
    assert report.opened_twice > 10
    assert sum("is opened again at" in note for note in report.notes) == min(report.opened_twice, TWICE_SHOWN)
    problems, found = verified(stage, tmp_path / "root", (ALL, ALL))
    assert (problems, "partial" in found) == ([], True)
    reports = verify_topics(MemoryTopics(stage.broker, NAMES), CODEC, NAMES)
    twice = {one.session_id: one.status for one in reports
             if one.is_opened_twice}  # fmt: skip
    assert twice == {one.session_id: one.status for one in verify(str(tmp_path / "root")) if one.is_opened_twice}


def test_the_examples_may_be_sent_any_number_of_times(tmp_path: Path) -> None:
    """Each repeat is known as one: no session is opened twice, and all proofs are sound."""
    stage = Stage(Rules())
    lines = example_messages()
    member = stage.member(batch_records_max=10)
    good = 0
    for times in range(4):
        send(stage, lines)
        member.finish()
        for _ in range(3 * times):  # At once, and some hours later: the clock has ended all meanwhile.
            stage.clock.time_ms += 3_600_000
            member.worker.step()
        flags = [view.flags for view in stage.views(NAMES.tagged)]
        good = good or len(flags)
        assert sum("duplicate" in each for each in flags) == good * times
    assert 15 <= good <= 20
    report = audited(stage, Rules())
    assert (report.problems, report.opened_twice) == ([], 0)
    problems, found = verified(stage, tmp_path / "root", (ALL, ALL))
    assert (problems, found - {"open"}) == ([], {"complete"})
