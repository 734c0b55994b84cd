"""The example files say what the processor does, and fit their schema; what programs need of the documents is there."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fastavro.schema import fingerprint, to_parsing_canonical_form

from processor.codec import Codec
from processor.core.model import Rules
from processor.runtime.task import Task
from processor.settings.model import TopicNames
from processor.testing import MemoryRecord
from tests.sessions.outputs import SCHEMAS

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
SCHEMAS_DOC = (ROOT / "docs" / "schemas.md").read_text("utf-8")
TOPICS = TopicNames(*(f"a3cp.{name}" for name in TopicNames._fields))


def example(name: str) -> Any:
    return json.loads((EXAMPLES / f"session_manager_{name}.json").read_text("utf-8"))


def processed(values: list[Any]) -> dict[str, list[Any]]:
    """Return by topic what the processor makes of `values`, each appended to the log 40 ms after its own time."""
    codec = Codec(SCHEMAS)
    task = Task(0, 1, codec=codec, rules=Rules(), topics=TOPICS, record_bytes_max=1 << 20)
    told: dict[str, list[Any]] = {TOPICS.tagged: [], TOPICS.sessions: []}
    for number, value in enumerate(values):
        text = json.dumps(value, ensure_ascii=False).encode()
        append_ms = codec.decode(text, 1 << 42).timestamp_ms + 40
        for topic, output, *_ in task.process([MemoryRecord(0, number, b"key", text, append_ms)]):
            assert output is not None
            told[topic].append(json.loads(output))
        task.state_records()
        task.committed()
    return told


def test_the_output_is_that_of_the_input() -> None:
    """Byte for byte in content: ids, numbers, counts and digests."""
    assert processed(example("input_example")) == example("output_example")


def test_both_fit_the_schema() -> None:
    """As published; and it refuses what is neither."""
    schema = example("schema")
    jsonschema.Draft202012Validator.check_schema(schema)

    def is_valid(kind: str, value: Any) -> bool:
        return jsonschema.Draft202012Validator({**schema, "$ref": f"#/$defs/{kind}"}).is_valid(value)

    assert all(is_valid("message", value) or is_valid("command", value) for value in example("input_example"))
    output = example("output_example")
    assert all(is_valid("tagged_message", value) for value in output[TOPICS.tagged])
    assert all(is_valid("session_event", value) for value in output[TOPICS.sessions])
    assert not is_valid("tagged_message", example("input_example")[1])
    assert not is_valid("session_event", output[TOPICS.tagged][0])
    assert not is_valid("message", {"timestamp": "2025-06-15T12:34:56.789Z"})


def test_the_fingerprints_are_those_of_the_schemas() -> None:
    """The table in docs/schemas.md has those of all schemas, as another library than ours computes them."""
    schemas = {file.stem: json.loads(file.read_text("utf-8")) for file in (ROOT / "schemas" / "avro").glob("*.avsc")}
    found = {name: fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO") for name, schema in schemas.items()}
    assert dict(re.findall(r"^\| `(\w+)` \| `c301` `(\w+)` \|$", SCHEMAS_DOC, re.MULTILINE)) == found


@pytest.mark.parametrize(("file", "language"), [("consume.py", "python"), ("node/consume.mjs", "js")])
def test_the_documented_decoder_is_the_examples(file: str, language: str) -> None:
    """The decoders in docs/schemas.md stand in the examples, which run."""
    (code,) = re.findall(rf"```{language}\n(.*?)```", SCHEMAS_DOC, re.DOTALL)
    assert code in (EXAMPLES / file).read_text("utf-8")
