"""The short path of plain.py and the rules: they say the same, and the short path is the one that is taken."""

import pytest
from hypothesis import given

from processor.core.memory import evolve, observe
from processor.core.model import Message, Policy, UserState
from processor.core.plain import step_plain
from processor.core.session import decide
from tests.core.histories import Draft, Run, histories, rules_drawn
from tests.core.playing import EPOCH_MS, PASSIVE, RULES, USER, Ask, Say, Scene


@given(histories, rules_drawn)
def test_the_short_path_gives_what_the_rules_give(drafts: list[Draft], rules):
    """Whatever has happened to a user: where the short path answers, it is `decide`, `evolve` and `observe`."""
    run = Run(rules)
    for draft in drafts:
        record = run.record_of(draft)
        state = run.live
        if isinstance(record, Message):
            short = step_plain(state, record, 7, rules)
            if short is not None:
                events = decide(state, record, rules)
                for event in events:
                    state = evolve(state, event)
                assert short == (observe(state, record, 7), events)
        run.take_record(record)
        for later_ms in draft.ticks:
            run.tick(later_ms)


PLAIN = Message(USER, "r", EPOCH_MS + 60, EPOCH_MS + 60, b"h" * 32, "speech")


def met(*steps: Say | Ask) -> UserState:
    """Return the state of a user to whom `steps` happened."""
    scene = Scene(RULES)
    for step in steps:
        scene.play(step)
    assert scene.state is not None
    return scene.state


@pytest.mark.parametrize("state", [None, met(Say(0)), met(Say(0), Say(50)), met(Ask(0, "start"))])
def test_ordinary_messages_take_the_short_path(state: UserState | None):
    """A user's first message, and one in an open session."""
    assert step_plain(state, PLAIN, 7, RULES) is not None


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (None, PLAIN._replace(source=PASSIVE)),
        (None, PLAIN._replace(policy=Policy())),
        (None, PLAIN._replace(timestamp_ms=PLAIN.append_ms + RULES.skew_ms + 1)),
        (met(Say(0)), PLAIN._replace(source=PASSIVE)),
        (met(Say(0)), PLAIN._replace(policy=Policy())),
        (met(Say(0)), PLAIN._replace(timestamp_ms=EPOCH_MS - 1)),
        (met(Say(0)), PLAIN._replace(timestamp_ms=EPOCH_MS + 101, append_ms=EPOCH_MS + 101)),
        (met(Say(0), Ask(1, "pause")), PLAIN),
        (met(Ask(0, "start", template="long")), PLAIN),
        (met(Say(0), Ask(1, "end")), PLAIN),
        (met(Say(0))._replace(policy=Policy(gap_ms=1)), PLAIN),
    ],
)
def test_what_is_special_is_left_to_the_rules(state: UserState | None, message: Message):
    """Passive sources, policies, templates, pauses, wrong clocks, what is late, and what silence has ended."""
    assert step_plain(state, message, 7, RULES) is None
