"""Templates from one file: what it may say, and what is told of one that says something else."""

import json
import re
from pathlib import Path
from textwrap import dedent

import pytest

from processor.core.model import DAY_MS, HOUR_MS, Policy
from processor.errors import UsageError
from processor.settings.sources import load
from processor.settings.templates import BUILT_IN, Hook, Template

DOCUMENT = Path(__file__).parents[2] / "docs" / "templates.md"
WHOLE = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)[0]


def _written(folder: Path, text: str, name: str = "templates.yaml") -> dict[str, str]:
    path = folder / name
    path.write_text(dedent(text), "utf-8")
    return {"A3CP_TEMPLATES_FILE": str(path)}


def test_built_in_templates_are_valid() -> None:
    """They are not checked at each start, so they are here."""
    for template in BUILT_IN.values():
        assert Template.model_validate(template.model_dump()).model_dump() == template.model_dump()


def test_a_file_adds_and_overrides(tmp_path: Path) -> None:
    """The file of the document: what it does not mention of a built-in template stays; limits reach the rules."""
    settings = load(_written(tmp_path, WHOLE), tmp_path).settings
    assert settings.templates["interview"].title == BUILT_IN["interview"].title
    assert settings.templates["assessment"] == BUILT_IN["assessment"]
    therapy = settings.templates["therapy"]
    assert therapy.phases == {"arrived": ("playing", "left"), "playing": ("left",), "left": ()}
    told = {"url": "https://models.example/summary", "secret": "SUMMARY_SECRET", "at": {"start", "end"}}
    assert therapy.hooks["summary"] == Hook.model_validate({**told, "every_messages": 20})
    rules = settings.rules().templates
    assert (rules["therapy"], rules["interview"]) == (Policy(900_000), Policy(60_000, pause_ms=DAY_MS))
    assert rules["gateway"] == Policy(HOUR_MS)


def test_json_is_read_too_and_other_settings_go_over_it(tmp_path: Path) -> None:
    """The environment goes over a3cp.toml, and that goes over the file, field by field."""
    told = {"play": {"gap_ms": 1, "max_session_ms": 1, "pause_ms": 1}}
    (tmp_path / "a3cp.toml").write_text("[templates.play]\nmax_session_ms = 2\npause_ms = 2\n")
    environ = {**_written(tmp_path, json.dumps(told), "templates.json"), "A3CP_TEMPLATES__PLAY__PAUSE_MS": "3"}
    assert load(environ, tmp_path).settings.rules().templates["play"] == Policy(1, 2, 3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("play: [", "is not as wanted: it is no YAML, see line"),
        ("[" * 5000, "is not as wanted: it is nested too deeply"),
        ("play: {gap_ms: 1}\nplay: {gap_ms: 2}", "is not as wanted: play stands twice in one table, see line 2"),
        ('{"play": {"gap_ms": 1, "gap_ms": 2}}', "gap_ms stands twice in one table, see line 1"),
        ("", "the whole: a table is wanted"),
        ("play: 5", "play: a table is wanted"),
        ("play: {gap: 5}", "play.gap: there is no such field"),
        ("play: {gap_ms: 0}", "play.gap_ms: at least 1 is wanted"),
        ("play: {gap_ms: true}", "play.gap_ms: a whole number is wanted"),
        ("play: {gap_ms: 1.5}", "play.gap_ms: a whole number is wanted"),
        ("play: {gap_ms: {}}", "play.gap_ms: a whole number is wanted"),
        ("play: {title: [a]}", "play.title: text is wanted"),
        ("play: {phases: {a: b}}", "play.phases.a: a list is wanted"),
        ("play: {hooks: {a: {url: 'http://x', secret: S, every_messages: true}}}", "every_messages: a whole number"),
        ("play: {hooks: {a: {url: 'http://x', secret: S, at: [noon]}}}", "at.0: 'start' or 'end' is wanted"),
        ("play: {phases: {}}", "play.phases: at least 1 of them are wanted"),
        ("play: {phases: {a: [b]}}", "play.phases: b may follow, and has no line"),
        ("play: {config_schema: {type: objekt}}", "play.config_schema: type: 'objekt' is not valid"),
        ("play: {config_schema: {$ref: 'https://x/y'}}", "play.config_schema: \\$ref https://x/y leads to nothing"),
        ("play: {config_schema: {anyOf: [{$ref: '#/a'}]}}", "play.config_schema: \\$ref #/a leads to nothing"),
        ("play: {hooks: {a: {url: 'http://x', secret: S}}}", "play.hooks.a: a hook needs `at`"),
        ("play: {hooks: {a: {url: 'ftp://x', secret: S, at: [end]}}}", "play.hooks.a.url: an address is"),
        ("play: {hooks: {a: {url: 'http://x', at: [end]}}}", "play.hooks.a.secret: it is missing"),
        ("play: {hooks: {a: {url: 'http://x', secret: whsec_a+b, at: [end]}}}", "play.hooks.a.secret: text that"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(tmp_path: Path, text: str, told: str) -> None:
    """The file, the place in it and what is wanted are named; values are not."""
    with pytest.raises(UsageError, match=rf"templates\.yaml .*{told}") as error:
        load(_written(tmp_path, text), tmp_path)
    assert "docs/templates.md" in error.value.remedy
    assert "whsec_a" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """It was named, so it must be there."""
    with pytest.raises(UsageError, match=r"none\.yaml cannot be read \(No such file"):
        load({"A3CP_TEMPLATES_FILE": str(tmp_path / "none.yaml")}, tmp_path)


def test_a_file_that_nobody_named_sends_nothing_elsewhere(tmp_path: Path) -> None:
    """Hooks in the a3cp.toml of a folder, or in a file that it names, count only once somebody trusts it."""
    hooks = "play: {hooks: {a: {url: 'http://x', secret: S, at: [end]}}}"
    path = _written(tmp_path, hooks)["A3CP_TEMPLATES_FILE"]
    settings_file = tmp_path / "a3cp.toml"
    for text in (
        f"templates_file = '{path}'",
        "[templates.play.hooks.a]\nurl = 'http://x'\nsecret = 'S'\nat = ['end']",
    ):
        settings_file.write_text(text)
        with pytest.raises(UsageError, match="others would be told of sessions of the template play"):
            load({}, tmp_path)
        assert load({"A3CP_CONFIG": str(settings_file)}, tmp_path).settings.templates["play"].hooks
    _written(tmp_path, "play: {gap_ms: 5}")
    settings_file.write_text(f"templates_file = '{path}'")
    assert load({}, tmp_path).settings.templates["play"].gap_ms == 5
