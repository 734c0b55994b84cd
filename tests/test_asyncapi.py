"""docs/asyncapi.yaml: what the topics hold, by the official schema of AsyncAPI 3, and true of real records."""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from processor.in_memory import MemoryDeployment
from processor.settings.documents import topic_files
from scripts.make_asyncapi import FILE, text
from tests.faces.reading import command, say, start

OFFICIAL = Path(__file__).parent / "vendored" / "asyncapi-3.0.0.json"

COMMANDS: list[tuple[str, dict[str, Any]]] = [
    ("pause", {}),
    ("resume", {}),
    ("note", {"session_notes": "calm"}),
    ("context", {"context": {"location": "kitchen"}}),
    ("step", {"step": {"name": "search"}}),
    ("status", {"status": "waiting"}),
    ("tag", {"tags": {"add": ["review"]}}),
    ("touch", {}),
    ("end", {}),
    ("end", {}),
]


@pytest.fixture(scope="module")
def document() -> Any:
    return yaml.safe_load(FILE.read_bytes())


@pytest.fixture(scope="module")
def official() -> Any:
    return jsonschema.Draft7Validator(json.loads(OFFICIAL.read_bytes()))


def test_it_is_what_topics_and_schemas_say() -> None:
    """Whoever changes one of them makes it anew."""
    assert FILE.read_text("utf-8") == text(), "make it anew: python scripts/make_asyncapi.py"


def test_it_is_asyncapi(document: Any, official: Any) -> None:
    """By the official schema, which knows Kafka's bindings and Avro, too."""
    assert [error.message for error in official.iter_errors(document)] == []


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (("info", "version"), 3),
        (("channels", "raw", "bindings", "kafka", "partitions"), 0),
        (("channels", "raw", "bindings", "kafka", "topicConfiguration", "cleanup.policy"), "delete"),
        (("operations", "receive_raw", "action"), "publish"),
        (("components", "messages", "SessionEvent", "payload", "schema", "fields", 0, "type"), 7),
        (("components", "messages", "SessionEventInJson", "payload", "required"), "kind"),
    ],
)
def test_the_official_schema_looks_everywhere(document: Any, official: Any, place: tuple[Any, ...], wrong: Any) -> None:
    """Else the test above would prove little."""
    changed = inner = deepcopy(document)
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = wrong
    assert not official.is_valid(changed)


def references(node: Any) -> Iterator[str]:
    for name, value in node.items() if isinstance(node, dict) else enumerate(node if isinstance(node, list) else ()):
        if name == "$ref":
            yield value
        else:
            yield from references(value)


def test_all_references_lead_somewhere(document: Any) -> None:
    """Each within the document."""
    for reference in references(document):
        found = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        assert found


def test_it_has_all_topics(document: Any) -> None:
    """One channel each."""
    assert {channel["address"] for channel in document["channels"].values()} == {path.stem for path in topic_files()}


def test_real_records_are_as_it_says(document: Any, tmp_path: Path) -> None:
    """What goes into the topics in JSON and comes out of them is valid by the schemas of its channel."""
    with MemoryDeployment(tmp_path) as deployment:
        start(deployment, "ann", session_notes="well")
        say(deployment, "ann", transcript="hello")
        for name, arguments in COMMANDS:
            command(deployment, "ann", name, **arguments)
        told = {name: deployment.broker.values(name) for name in ("raw", "tagged", "sessions")}
    for name, values in told.items():
        schemas = [
            document["components"]["messages"][form]["payload"]
            for form in document["channels"][name]["messages"]
            if form.endswith("InJson")
        ]
        records = [json.loads(value) for value in values if value is not None]
        assert records
        for record in records:
            assert any(jsonschema.Draft7Validator(schema).is_valid(record) for schema in schemas), record
            if "kind" in record:  # An event has no further fields.
                assert record.keys() <= schemas[0]["properties"].keys()
