"""Make docs/asyncapi.yaml: the topics and what is in them, from topics/ and schemas/avro/, as AsyncAPI 3 has it.

Run it as `python scripts/make_asyncapi.py`; tests/test_asyncapi.py says when the file is no longer what it makes.
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from processor.kafka.topics.desired import Topic, read_topic
from processor.settings.documents import schema_text, topic_files

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs" / "asyncapi.yaml"
AVRO = "application/vnd.apache.avro;version=1.9.0"
BINDING = "0.5.0"  # of Kafka
IN_TOPICS = {
    "raw": ("A3CPMessage", "SessionCommand"),
    "tagged": ("TaggedA3CPMessage",),
    "sessions": ("SessionEvent",),
    "state": ("UserState",),
    "dlq": ("DeadLetter",),
}
ACTIONS = {"raw": ["receive"], "tagged": ["send"], "sessions": ["send"], "state": ["receive", "send"], "dlq": ["send"]}
NEEDED = {  # in JSON; what else a conforming message has is in the Avro schema
    "A3CPMessage": ["user_id", "timestamp"],
    "SessionCommand": ["user_id", "timestamp", "command"],
    "TaggedA3CPMessage": ["user_id", "timestamp", "session_flags"],
    "SessionEvent": ["schema_version", "record_id", "user_id", "session_id", "timestamp", "source", "kind"],
}
TYPES = {"string": "string", "long": "integer", "int": "integer", "boolean": "boolean"}
FOREIGN = {  # What they are, and how they are encoded.
    "UserState": ("What the processor remembers of a user; internal (docs/adr/0019).", "application/msgpack"),
    "DeadLetter": (
        "A record's bytes as they came; headers say why (docs/dead-letters.md).",
        "application/octet-stream",
    ),
}


def document() -> dict[str, Any]:
    """Return the document."""
    topics = {topic.name.rpartition(".")[2]: (topic, _comment(path)) for path, topic in _topics()}
    messages = [name for names in IN_TOPICS.values() for name in names]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "A3CP session manager",
            "version": version("a3cp-session-manager"),
            "description": "The topics of the session manager, from where the processor stands. Another prefix than "
            "`a3cp` can be set (A3CP_TOPIC_PREFIX). Read with isolation.level=read_committed. Each message may come in "
            "Avro or in JSON, and goes out in the same (docs/schemas.md).",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "channels": {name: _channel(name, *topics[name]) for name in IN_TOPICS},
        "operations": {
            f"{action}_{name}": {"action": action, "channel": {"$ref": f"#/channels/{name}"}}
            for name, actions in ACTIONS.items()
            for action in actions
        },
        "components": {"messages": dict(_messages(messages))},
    }


def text() -> str:
    """Return the document as its file has it."""
    head = "# Made by scripts/make_asyncapi.py from topics/ and schemas/avro/; change those.\n"
    return head + yaml.dump(document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they are."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Return the node for a text."""
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Dumper.add_representer(str, _Dumper.represent_str)


def _topics() -> list[tuple[Path, Topic]]:
    return [(path, read_topic(path)) for path in topic_files()]


def _comment(path: Path) -> str:
    """Return what is said of a topic at the head of its file."""
    lines = path.read_text("utf-8").splitlines()
    head = [line.removeprefix("#").removeprefix(" ") for line in lines[: lines.index("apiVersion: kafka.jikkou.io/v1")]]
    return "\n".join(head)


def _channel(name: str, topic: Topic, comment: str) -> dict[str, Any]:
    configs: dict[str, Any] = {key: int(value) if value.isdigit() else value for key, value in topic.configs.items()}
    configs["cleanup.policy"] = [topic.configs["cleanup.policy"]]
    return {
        "address": topic.name,
        "description": comment,
        "messages": {
            form: {"$ref": f"#/components/messages/{form}"} for each in IN_TOPICS[name] for form in _forms(each)
        },
        "bindings": {
            "kafka": {
                "partitions": topic.partitions,
                "replicas": topic.replicas,
                "topicConfiguration": configs,
                "bindingVersion": BINDING,
            }
        },
    }


def _forms(name: str) -> list[str]:
    return [name] if name in FOREIGN else [name, f"{name}InJson"]


def _messages(names: list[str]) -> Any:
    """Yield each message by its name, in Avro and in JSON."""
    for name in names:
        if name in FOREIGN:
            summary, content_type = FOREIGN[name]
            yield name, _message(summary, content_type)
            continue
        schema = json.loads(schema_text(name))
        payload = {"schemaFormat": AVRO, "schema": schema}
        yield name, {**_message(schema["doc"], "application/vnd.apache.avro"), "payload": payload}
        yield f"{name}InJson", {**_message(schema["doc"], "application/json"), "payload": json_schema(schema)}


def _message(summary: str, content_type: str) -> dict[str, Any]:
    key = {"type": "string", "description": "the user's id, UTF-8"}
    bindings = {"kafka": {"key": key, "bindingVersion": BINDING}}
    return {"summary": summary, "contentType": content_type, "bindings": bindings}


def json_schema(avro: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of an Avro schema's records in JSON: one flat object, times as text."""
    fields = [field for field in avro["fields"] if field["name"] != "extra"]  # Its fields stand beside the others.
    return {
        "type": "object",
        "description": avro["doc"],
        "required": NEEDED[avro["name"]],
        "properties": {field["name"]: _property(field) for field in fields},
    }


def _property(field: dict[str, Any]) -> dict[str, Any]:
    kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
    (kind,) = (kind for kind in kinds if kind != "null")
    told: dict[str, Any] = {"description": field["doc"]}
    if field["name"] == "details":
        return {"type": ["object", "null"], **told}
    if isinstance(kind, dict) and kind["type"] == "array":
        return {"type": "array", "items": {"type": kind["items"]}, **told}
    if isinstance(kind, dict):  # a time
        told["format"] = "date-time"
        kind = "string"
    return {"type": [TYPES[kind], "null"] if "null" in kinds else TYPES[kind], **told}


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")
