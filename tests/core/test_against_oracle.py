"""The core, the oracle and the clock: three ways to the same tags."""

from hypothesis import given, settings

from tests.core.histories import Run, histories, rules_drawn


@given(rules_drawn, histories)
@settings(max_examples=200)
def test_core_and_oracle_agree(rules, drafts):
    """Any history gives the same sessions, numbers, flags, outcomes and ends: with a clock, without, by the oracle."""
    run = Run(rules)
    for draft in drafts:
        run.take(draft)
    run.finish()
