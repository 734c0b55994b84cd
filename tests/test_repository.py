"""Code and documents name the same things: a command, setting, metric or topic in one and not in the other fails."""

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic.fields import FieldInfo

from processor.core.model import BUILT_IN_TEMPLATES, HOUR_MS, IdFormat, Policy
from processor.settings.documents import topic_files
from processor.settings.model import ELSEWHERE, OWNED, PREFIX, UNPREFIXED, Settings, TopicNames
from tests.commands import ALL_COMMANDS
from tests.metrics import metrics

ROOT = Path(__file__).parent.parent
SHARED_OPTIONS = {"--help", "--json", "--bootstrap", "--prefix", "--timeout"}
PEOPLES_DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "ops").rglob("*.md"))]
VARIABLE = re.compile(r"\bA3CP_[A-Z0-9_]*[A-Z0-9]\b")


def document(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


def type_words(info: FieldInfo) -> str:
    """Say the type of a setting as its table does."""
    kind: Any = info.annotation
    if get_origin(kind) is frozenset:
        return "list"
    if get_origin(kind) is Literal:
        return ", ".join(f"`{word}`" for word in get_args(kind))
    if any(get_origin(arm) is Literal for arm in get_args(kind)):
        return f"whole number or {', '.join(f'`{word}`' for arm in get_args(kind)[1:] for word in get_args(arm))}"
    kind = (
        next((arm for arm in get_args(kind) if arm is not type(None)), kind) if get_origin(kind) is not dict else kind
    )
    words: dict[Any, str] = {int: "whole number", str: "text", bool: "true or false"}
    if kind in words:
        return words[kind]
    if kind is IdFormat:
        return ", ".join(f"`{member.value}`" for member in IdFormat)
    assert get_origin(kind) is dict
    return "table"


def default_words(info: FieldInfo) -> str:
    default: Any = info.default
    if default is None or default == {}:
        return "none"
    if isinstance(default, frozenset | dict):
        return ", ".join(f"`{word}`" for word in sorted(default))
    if isinstance(default, bool):
        return str(default).lower()
    return f"`{default.value if isinstance(default, IdFormat) else default}`"


def setting_row(name: str, info: FieldInfo) -> str:
    """Return the row of the table in docs/configuration.md that tells this setting."""
    extra = info.json_schema_extra
    unit = extra.get("unit") if isinstance(extra, dict) else ""
    variable = UNPREFIXED.get(name, PREFIX + name.upper())
    typed = type_words(info) + (f", {unit}" if unit else "")
    return f"| `{variable}` | {typed} | {default_words(info)} | {info.description} |"


def test_every_setting_is_documented() -> None:
    """Name, type, unit, default and meaning of each setting are in the table; the table has no other."""
    wanted = [setting_row(name, info) for name, info in Settings.model_fields.items()]
    wanted += [f"| `{name}` | text | none | {meaning} |" for name, meaning in ELSEWHERE.items()]
    rows = [
        line
        for line in document("configuration.md").splitlines()
        if line.startswith(("| `A3CP_", "| `KAFKA_", "| `SC"))
    ]
    assert sorted(rows) == sorted(wanted), "put this into docs/configuration.md:\n" + "\n".join(wanted)


def test_every_property_that_is_not_free_is_documented() -> None:
    """Whoever wants to set one finds why not, and what instead."""
    text = document("configuration.md")
    assert [name for name in OWNED if f"| `{name}` | {OWNED[name]} |" not in text] == []


def test_variables_named_anywhere_exist() -> None:
    """No document and no code speaks of a variable that has no effect."""
    known = {UNPREFIXED.get(name, PREFIX + name.upper()) for name in Settings.model_fields} | set(ELSEWHERE)
    files = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", *(ROOT / "processor").rglob("*.py")]
    for path in files:
        for variable in VARIABLE.findall(path.read_text("utf-8")):
            start = variable.split("__")[0]
            assert start in known, f"{path.relative_to(ROOT)} speaks of {variable}"


def test_no_test_module_imports_another() -> None:
    """What tests share is in stages: a change of one test never breaks another's imports."""
    importing = re.compile(r"^\s*from tests\.[\w.]*\btest_\w+ import", re.MULTILINE)
    assert [path.name for path in (ROOT / "tests").rglob("*.py") if importing.search(path.read_text("utf-8"))] == []


def test_every_command_is_documented() -> None:
    """docs/cli.md has a section for each command, and for no other."""
    sections = re.findall(r"^### `(a3cp [a-z -]+)`$", document("cli.md"), re.MULTILINE)
    assert sorted(sections) == sorted(ALL_COMMANDS)


@pytest.mark.parametrize("name", ALL_COMMANDS)
def test_every_option_is_documented(name: str) -> None:
    """The command's section has each of its options, and no other; those that most share are at the top."""
    text = document("cli.md")
    section = text.partition(f"### `{name}`\n")[2].partition("\n### ")[0].partition("\n## ")[0]
    options = {
        option
        for parameter in ALL_COMMANDS[name].params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--") and not getattr(parameter, "hidden", False)
    }
    told = set(re.findall(r"`(--[a-z-]+)", section))
    assert options - SHARED_OPTIONS <= told, "not documented"
    assert told <= options, "documented, but not there"
    assert name in section, "an example"


def typed(text: str) -> Iterator[list[str]]:
    """Yield the words of each command of `a3cp` in a document, those after `a3cp`."""
    blocks = r"```(?:sh|console)\n(.*?)```"
    spans = [line for block in re.findall(blocks, text, re.DOTALL) for line in block.splitlines()]
    spans += re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for span in spans:
        if match := re.search(r"(?:^|[\s/])a3cp ([a-z].*)$", span):
            yield shlex.split(re.split(r"\s(?:#|\||&|;|2?>)", match[1])[0])


@pytest.mark.parametrize("path", PEOPLES_DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_documents_exist(path: Path) -> None:
    """With their options. Decisions may tell of commands that there were, or could be."""
    groups = {name.rpartition(" ")[0] for name in ALL_COMMANDS} | {"a3cp help"}
    for words in typed(path.read_text("utf-8")):
        name = next((name for n in (2, 1) if (name := " ".join(["a3cp", *words[:n]])) in ALL_COMMANDS), None)
        assert name or f"a3cp {words[0]}" in groups, words
        if name:
            there = {option for parameter in ALL_COMMANDS[name].params for option in parameter.opts} | {"--help"}
            assert {word.partition("=")[0] for word in words if re.match(r"--\w", word)} <= there, words


@pytest.mark.parametrize("path", PEOPLES_DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_documents_are_whole(path: Path) -> None:
    """What is to be typed has all that the command asks for; in a runbook that is each command in a line, too."""
    text = path.read_text("utf-8")
    if path.parent.name != "runbooks":
        text = "".join(re.findall(r"```sh\n.*?```", text, re.DOTALL))
    for words in typed(text):
        name = next((name for n in (2, 1) if (name := " ".join(["a3cp", *words[:n]])) in ALL_COMMANDS), None)
        if name and "--help" not in words:
            rest = [re.sub(r"^[A-Z]+$", "9", word) for word in words[len(name.split()) - 1 :]]
            ALL_COMMANDS[name].make_context(name, rest)


def test_every_metric_is_documented() -> None:
    """docs/metrics.md has a row with name and labels for each metric, and for no other."""
    found = re.findall(r"^\| `(a3cp_\w+)` \| \w+ \| ([^|]*)\|", document("metrics.md"), re.MULTILINE)
    told = {name: tuple(re.findall(r"`(\w+)`", labels)) for name, labels in found}
    assert told == dict(metrics())


def test_no_person_in_a_label() -> None:
    """The labels are partitions and words of ours."""
    allowed = {
        "partition",
        "cause",
        "alarm",
        "reason",
        "flag",
        "command",
        "outcome",
        "stage",
        "kind",
        "version",
        "python",
        "topic",
        "method",
        "route",
        "status",
        "code",
        "direction",
        "place",
        "template",  # This and the next one are names that the site's own file gives.
        "hook",
    }
    assert {label for _, labels in metrics() for label in labels} <= allowed


def test_every_topic_is_a_file_and_documented() -> None:
    """The topics that the code names are those that topics/ makes, and the documents tell of each."""
    files = {path.stem for path in topic_files()}
    assert files == {f"a3cp.{name}" for name in TopicNames._fields}
    text = document("configuration.md")
    assert [name for name in sorted(files) if f"`{name}`" not in text] == []


def test_secrets_do_not_print() -> None:
    """Settings that may hold a secret are left out of the settings' own text."""
    secret = (
        "kafka", "log_key", "profile_store_key", "profile_store_url", "schema_registry_url", "site_key", "store_url",
    )  # fmt: skip
    assert not any(Settings.model_fields[name].repr for name in secret)


SECRET_FILE = re.compile(r"\.(key|pem|p12|pfx|jks|keystore|env)$|(^|/)(tokens\.json|\.netrc|\.pgpass|id_\w+)$")
SECRET_TEXT = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY|\A[0-9a-f]{64}\s*\Z|\beyJ[\w-]{20,}\.eyJ[\w-]{20,}\.")


def test_boundaries_lead_to_tests() -> None:
    """Each line of docs/threat-model.md names a test that exists, and each boundary that is drawn has a line."""
    text = document("threat-model.md")
    rows = re.findall(r"^\|([^|]*)\|[^|]+\|[^|]+\| `(tests/[\w/]+\.py)::(\w+)` \|$", text, re.MULTILINE)
    table = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert len(rows) == len(table), "a line has no test"
    for _, path, test in rows:
        assert f"def {test}(" in (ROOT / path).read_text("utf-8"), f"{path}::{test}"
    numbers = set(re.findall("[①-⑳]", "".join(boundary for boundary, *_ in rows)))
    assert numbers == set(re.findall("[①-⑳]", text.split("```")[1]))


def test_no_secret_is_tracked() -> None:
    """No key, keystore or file of passwords or tokens is in the tree, by name or by what it holds."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    names = [name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]
    assert "pyproject.toml" in names
    assert [name for name in names if SECRET_FILE.search(name)] == []
    assert [name for name in names if SECRET_TEXT.search((ROOT / name).read_bytes())] == []
    for secret in ("a3cp-site.key", "ops/tls/server.pem", "deep/down/server.key"):
        assert subprocess.run(["git", "check-ignore", "-q", secret], cwd=ROOT, check=False).returncode == 0, secret


def test_decisions_have_one_form() -> None:
    """Each decision has status, date and the same sections; the index lists all, and says why a number is missing."""
    index = document("adr/README.md")
    files = sorted(path for path in (ROOT / "docs" / "adr").glob("*.md") if path.name != "README.md")
    for file in files:
        title, _, status, *_ = file.read_text("utf-8").splitlines()
        number, _, name = title.removeprefix("# ").partition(" ")
        assert file.name.startswith(f"{number}-")
        assert f"| [{number}]({file.name}) | {name} | " in index
        assert re.fullmatch(
            r"Status: (accepted|superseded by .+?)(; supersedes .+?)?\. Date: \d{4}-\d\d-\d\d\.", status
        ), file
        sections = re.findall(r"^## (.+)$", file.read_text("utf-8"), re.MULTILINE)
        wanted = ["Context", "Decision", "Considered", "Consequences", "What would reverse it"]
        assert [name for name in wanted if name in sections or name != "Considered"] == sections, file
    assert len(files) == index.count("\n| [")
    numbers = {int(file.name[:4]) for file in files}
    assert set(range(1, max(numbers))) - numbers == {7, 8, 9}
    assert "0007 to 0009 were never given" in index


def slug(heading: str) -> str:
    """Return what a link calls a heading, as GitHub does."""
    return re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")


def test_built_in_templates_are_documented() -> None:
    """docs/templates.md has each of them with its limits, and no other."""
    row = re.compile(r"^\| `(\w+)` \| [^|`]+ \| (?:(\d+) h)? ?\| (?:(\d+) h)? ?\|$", re.MULTILINE)
    documented = {
        name: Policy(gap_ms=int(gap) * HOUR_MS if gap else None, pause_ms=int(pause) * HOUR_MS if pause else None)
        for name, gap, pause in row.findall(document("templates.md"))
    }
    assert documented == BUILT_IN_TEMPLATES


def test_links_lead_somewhere() -> None:
    """Each link of a document leads to a file, and to a heading of it where it names one."""
    for document in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "ops").rglob("*.md")):
        text = document.read_text("utf-8")
        for path, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
            target = (document.parent / path) if path else document
            assert target.exists(), f"{document}: {path}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
                assert anchor in map(slug, headings), f"{document}: {path}#{anchor}"


def test_the_rooms_are_those_of_the_import_contract() -> None:
    """docs/architecture.md has a row for each layer of the import contract, the lowest first, with the same rooms."""
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][0]
    layers = [set(re.findall(r"\w+", layer)) for layer in reversed(contract["layers"])]
    table = document("architecture.md").split("## The parts")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert [{name.removesuffix(".py") for name in re.findall(r"`(.+?)`", row)} for row in rows] == layers


def test_large_rooms_say_what_each_file_is_for() -> None:
    """A room of many files names each of them in its `__init__.py`; in `cli` a file is named as its command."""
    for folder in (path for path in (ROOT / "processor").rglob("*/") if path.name not in ("cli", "v1")):
        files = {file.name for file in folder.glob("*.py")} - {"__init__.py"}
        if len(files) > 20:
            assert set(re.findall(r"`(\w+\.py)`", (folder / "__init__.py").read_text("utf-8"))) == files, folder.name


def test_the_walks_through_the_code_are_there() -> None:
    """Each step of the three walks names a file, and what it names in that file is defined there."""
    steps = re.findall(
        r"^\d+\. (.+)$", document("architecture.md").split("## Three walks")[1].split("\n## ")[0], re.MULTILINE
    )
    assert len(steps) == 26
    for step in steps:
        heading = step.split(":", 1)[0]
        files = re.findall(r"`([\w/]+/\w+\.py)`", step)
        assert heading.startswith(f"`{files[0]}`"), step
        assert all((ROOT / "processor" / file).is_file() for file in files), step
        text = (ROOT / "processor" / files[0]).read_text("utf-8")
        for name in re.findall(r"`([\w.]+)`", heading.replace(f"`{files[0]}`", "")):
            for part in name.split("."):
                assert re.search(rf"^ *(?:def|class) {part}\b", text, re.MULTILINE), f"{part} is not in {files[0]}"


def test_requirements_lead_to_tests() -> None:
    """docs/requirements.md has a row for each demand of the documents, and each names a test that exists."""
    rows = re.findall(r"^\| (00\d-[\w.]+) \|.*\| `([\w/.]+)::(\w+)` \|$", document("requirements.md"), re.MULTILINE)
    wanted = {
        "000": "F1 NF4 F2 F3 F4 F5 NF1 NF2 NF3 NF5 I1 I2 O1 O2 O3 O4 O5 X",
        "001": "3a 3b 3c 3d 3e 3f 3g 4a 4b 4c 4d 4e 5",
        "002": "A 1 1c 2 3 4 5 E L R5.2 R5.4 R7.x U N1 N3 N4 N5 N6",
        "003": "1 2a 2b 2c 2d 3 3s 4 5 6 7 8 9 10",
        "004": "1 2 3 4 5 6 7 8 9 10 11 12 13 14 N",
    }
    for number, names in wanted.items():
        assert [name for name, *_ in rows if name.startswith(number)] == [f"{number}-{name}" for name in names.split()]
    for name, path, test in rows:
        assert f"def {test}(" in (ROOT / path).read_text("utf-8"), name
    named = re.findall(r"`(processor/[\w/]+\.py)`", document("requirements.md"))
    assert [path for path in named if not (ROOT / path).is_file()] == []
