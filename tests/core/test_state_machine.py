"""A user's life as Hypothesis makes it up: each step chosen knowing the state that the last one left."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from processor.core.limits import limits
from processor.core.model import CommandName, UserState
from tests.core.histories import Draft, Run, contents, named, policies, record_ids, rules_drawn
from tests.core.playing import EPOCH_MS, PASSIVE

nudges = st.sampled_from((-1, 0, 0, 1))
delays = st.sampled_from((0, 0, 0, 5, 60, 110, 800))


def moments_that_matter(state: UserState | None, run: Run) -> list[int]:
    """Return the event times at which something changes for a user in `state`, oldest first."""
    moments = {EPOCH_MS, run.event_ms, run.now_ms, run.now_ms + run.rules.skew_ms}
    if state is not None:
        for session in (*state.closed, state.current):
            if session is not None:
                gap_ms, max_ms, pause_ms = limits(state, session, run.rules)
                moments |= {session.start_ms, session.start_ms - gap_ms, session.start_ms + max_ms}
                moments |= {session.last_ms, session.last_ms + gap_ms, session.touched_ms + run.rules.late_horizon_ms}
                if session.paused_at_ms is not None:
                    moments |= {session.paused_at_ms, session.paused_at_ms + pause_ms}
    return sorted(moment for moment in moments if moment > 0)


class ALife(RuleBasedStateMachine):
    """Messages, commands, profile updates and looks at the clock; `Run` checks everything after every one."""

    @initialize(rules=rules_drawn)
    def begin(self, rules):
        self.run = Run(rules)

    def event_after(self, data: st.DataObject, nudge_ms: int) -> int:
        """Draw how far from the last event time the next is: at a moment that matters, or a ms beside it."""
        moment_ms: int = data.draw(st.sampled_from(moments_that_matter(self.run.calm, self.run)))
        return moment_ms + nudge_ms - self.run.event_ms

    @rule(
        data=st.data(),
        nudge_ms=nudges,
        delay_ms=delays,
        record_id=record_ids,
        content=contents,
        claim=named,
        source=st.sampled_from(("speech", "speech", PASSIVE)),
        policy=policies,
    )
    def say(self, data, nudge_ms, delay_ms, record_id, content, claim, source, policy):
        """A message comes."""
        after = self.event_after(data, nudge_ms)
        self.run.take(Draft(after, delay_ms, record_id, content, claim, source, policy))

    @rule(
        data=st.data(),
        nudge_ms=nudges,
        delay_ms=delays,
        record_id=record_ids,
        content=contents,
        session=named,
        name=st.sampled_from(CommandName),
        force_new=st.booleans(),
        template=st.sampled_from((None, None, "long", "brief")),
    )
    def ask(self, data, nudge_ms, delay_ms, record_id, content, session, name, force_new, template):
        """A command comes."""
        after = self.event_after(data, nudge_ms)
        self.run.take(
            Draft(after, delay_ms, record_id, content, session, command=name, force_new=force_new, template=template)
        )

    @rule(later_ms=st.one_of(st.sampled_from((0, 1, 10, 11, 101, 311, 701, 2_001)), st.integers(0, 3_000)))
    def look_at_the_clock(self, later_ms):
        """Time passes, and the clock looks."""
        self.run.tick(later_ms)

    @invariant()
    def ends_told_last_are_right(self):
        """What was told last of every closed session is what the oracle knows."""
        if hasattr(self, "run"):
            self.run.finish()


TestALife = ALife.TestCase
TestALife.settings = settings(max_examples=50, stateful_step_count=30)
