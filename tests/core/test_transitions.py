"""The table of rule R7: the code's, the document's, and what happens."""

import re
from pathlib import Path

import pytest

from processor.core.commands import decide_command
from processor.core.model import Command, CommandName, Ended, Noted, Paused, Rejected, Resumed, Started, Unchanged
from processor.core.transitions import FORCED_START, TABLE, Effect, Phase
from tests.core.playing import EPOCH_MS, RULES, USER, Ask, Say, Scene, Step

SESSIONS = Path(__file__).parents[2] / "docs" / "sessions.md"
LEADING: dict[Phase, list[Step]] = {Phase.NONE: [], Phase.ACTIVE: [Say(0)], Phase.PAUSED: [Say(0), Ask(1, "pause")]}
CAUSED = {
    Effect.STARTS: (Started,),
    Effect.SUPERSEDES: (Ended, Started),
    Effect.ENDS: (Ended,),
    Effect.PAUSES: (Paused,),
    Effect.RESUMES: (Resumed,),
    Effect.ADDS: (Noted,),
    Effect.REJECTED: (Rejected,),
}


def documented() -> dict[tuple[str, str], str]:
    """Return the cells of the table in docs/sessions.md by command and phase."""
    section = SESSIONS.read_text("utf-8").split("## R7")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    (_, *phases), _, *rows = rows
    cells = {}
    for command, *effects in rows:
        names = command.split(", ") if "," in command else [command]
        for name in names:
            for phase, effect in zip(phases, effects, strict=True):
                cells[re.sub("`", "", name), phase] = re.sub("`", "", effect)
    return cells


def test_the_document_has_the_table_of_the_code():
    """Every command in every phase, in the same words."""
    coded = {
        (name.value if isinstance(name, CommandName) else name, phase.value): effect.value
        for name, row in TABLE.items()
        for phase, effect in row.items()
    }
    assert documented() == coded
    assert {name for name in TABLE if name != FORCED_START} == set(CommandName)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("name", TABLE)
def test_what_happens_is_what_the_table_says(name: CommandName | str, phase: Phase):
    """Each cell, played: the events that a command causes are those of its effect."""
    scene = Scene(RULES)
    incoming: Step
    for incoming in LEADING[phase]:
        scene.play(incoming)
    forced = name == FORCED_START
    word = CommandName.START if forced else CommandName(name)
    command = Command(USER, "r9", EPOCH_MS + 2, EPOCH_MS + 2, bytes(32), word, force_new=forced)
    events = decide_command(scene.state, command, RULES)
    effect = TABLE[name][phase]
    if effect in CAUSED:
        assert tuple(map(type, events)) == CAUSED[effect]
    else:
        (unchanged,) = events
        assert isinstance(unchanged, Unchanged)
        assert unchanged.why == effect.value
