"""Commands: what is read from them, and which are refused (rule R7)."""

import json
from typing import Any

import pytest

from processor.core.model import Command, CommandName, Erase
from processor.errors import DecodeError, InvalidMessage
from processor.runtime.erased import request_of
from tests.strategies import SCHEMA_TEXTS, make_codec, single_object

CODEC = make_codec(SCHEMA_TEXTS["A3CPMessage"])
SPINE = {
    "schema_version": "1.0.1",
    "record_id": "07e4c9ff-9b8e-4d3e-bc7c-2b1b1731df56",
    "user_id": "elias01",
    "timestamp": "2025-06-15T12:34:56.789Z",
}


def read(**fields: Any) -> Command:
    command = CODEC.decode(json.dumps({**SPINE, **fields}).encode(), 9)
    assert isinstance(command, Command)
    return command


def read_avro(details: str | None = None, **fields: Any) -> Command:
    record = {
        **SPINE,
        "timestamp": 1_749_990_896_789,
        "force_new": False,
        "is_training_data": False,
        "details": details,
        **fields,
    }
    for key in ("performer_id", "source", "session_id", "template", "session_notes", "training_intent_label"):
        record.setdefault(key, None)
    command = CODEC.decode(single_object("SessionCommand", record), 9)
    assert isinstance(command, Command)
    return command


def told(command: Command) -> tuple[object, ...]:
    return command[:4] + command[5:8] + command[9:]


ARGUMENTS: dict[str, Any] = {
    "session_id": "sess_1",
    "performer_id": "carer01",
    "force_new": True,
    "template": "school",
    "is_training_data": True,
    "session_notes": "notes",
    "training_intent_label": "help",
}


def test_start_with_all_its_arguments():
    """Alike in JSON and Avro."""
    command = read(command="start", **ARGUMENTS)
    assert told(command) == told(read_avro(command="start", **ARGUMENTS))
    assert command.name is CommandName.START
    assert command[6:8] == ("sess_1", "carer01")
    assert command[9:] == (True, "school", True, "notes", "help", None, 0)
    assert (command.append_ms, command.encoding, len(command.content_hash)) == (9, 1, 32)


@pytest.mark.parametrize("word", ["start", "end", "pause", "resume", "touch"])
def test_commands_without_arguments(word):
    """Null and blank arguments are none."""
    nulls = dict.fromkeys(ARGUMENTS)
    assert told(read(command=word, **nulls)) == told(read(command=word)) == told(read_avro(command=word))
    assert read(command=word, session_id=" ", template="").session_id is None


def test_further_fields_are_kept_as_they_came():
    """Numbers, order and spelling: as JSON text."""
    value = json.dumps({**SPINE, "command": "end"})[:-1] + ', "why":  {"x" : 1.50}, "\\u00e9": "\\u00e9"}'
    command = CODEC.decode(value.encode(), 1)
    assert isinstance(command, Command)
    assert command.details == '{"why":{"x" : 1.50},"é":"\\u00e9"}'


@pytest.mark.parametrize(
    ("fields", "notes", "details"),
    [
        ({"command": "note", "note": "seen"}, "seen", None),
        ({"command": "note", "session_notes": "seen"}, "seen", None),
        ({"command": "note", "session_notes": "seen", "note": "also"}, "seen", '{"note":"also"}'),
        ({"command": "context", "context": {"location": "home"}}, None, '{"context":{"location": "home"}}'),
        ({"command": "step", "step": {"name": "eat", "x": 1}}, None, '{"step":{"name": "eat", "x": 1}}'),
        (
            {"command": "step", "name": "eat", "status": "done", "duration_ms": 5, "data": {}, "x": 1},
            None,
            '{"step":{"name":"eat","status":"done","duration_ms":5,"data":{}},"x":1}',
        ),
        ({"command": "status", "status": "calm"}, None, '{"status":"calm"}'),
        ({"command": "tag", "tags": {"add": ["a"], "x": 1}}, None, '{"tags":{"add": ["a"], "x": 1}}'),
        ({"command": "tag", "add": ["a b"], "remove": [], "x": 1}, None, '{"tags":{"add":["a b"],"remove":[]},"x":1}'),
        ({"command": "tag", "remove": ["x" * 64]}, None, f'{{"tags":{{"remove":["{"x" * 64}"]}}}}'),
        ({"command": "start", "owner": "anna"}, None, '{"owner":"anna"}'),
    ],
)
def test_what_a_command_adds(fields, notes, details):
    """Notes, context, steps and status arrive where events tell them."""
    command = read(**fields)
    assert (command.session_notes, command.details) == (notes, details)
    rest = {key: field for key, field in fields.items() if key not in ("command", "session_notes")}
    in_avro = read_avro(json.dumps(rest), command=fields["command"], session_notes=fields.get("session_notes"))
    assert in_avro.session_notes == notes
    assert json.loads(in_avro.details or "null") == json.loads(details or "null")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"command": "stop"}, "known are start, end, pause, resume, note, context, step, status, tag, touch"),
        ({"command": None}, "the command is unknown"),
        ({"command": ["start"]}, "the command is unknown"),
        ({"command": "start", "force_new": "yes"}, "force_new as true or false"),
        ({"command": "start", "is_training_data": 1}, "is_training_data as true or false"),
        ({"command": "start", "template": 5}, "template as text"),
        ({"command": "start", "template": "ü" * 129}, "258 bytes, at most 256"),
        ({"command": "start", "session_notes": {}}, "session_notes as text"),
        ({"command": "note"}, "note as text"),
        ({"command": "note", "note": " "}, "note as text"),
        ({"command": "note", "note": 5}, "note as text"),
        ({"command": "context"}, "context as an object"),
        ({"command": "context", "context": "home"}, "context as an object"),
        ({"command": "step"}, "the step's name as text"),
        ({"command": "step", "step": "eat"}, "step as an object"),
        ({"command": "step", "step": {"name": ""}}, "the step's name as text"),
        ({"command": "step", "name": "eat", "status": 5}, "the step's status as text"),
        ({"command": "step", "name": "eat", "duration_ms": "5"}, "duration_ms as a number of ms"),
        ({"command": "step", "name": "eat", "duration_ms": -1}, "duration_ms as a number of ms"),
        ({"command": "step", "name": "eat", "duration_ms": True}, "duration_ms as a number of ms"),
        ({"command": "status"}, "status as text"),
        ({"command": "tag"}, "tags to add or remove as texts of at most 64 characters"),
        ({"command": "tag", "tags": ["a"]}, "tags as an object"),
        ({"command": "tag", "tags": {"add": "a"}}, "add in tags as a list"),
        ({"command": "tag", "add": ["a", ""]}, "tags to add or remove"),
        ({"command": "tag", "add": ["a"], "remove": [1]}, "tags to add or remove"),
        ({"command": "tag", "add": ["x" * 65]}, "tags to add or remove"),
        ({"command": "start", "user_id": ""}, "user_id is blank"),
        ({"command": "start", "timestamp": None}, "timestamp is missing"),
    ],
)
def test_commands_that_are_refused(fields, why):
    """Each refusal says what is needed."""
    with pytest.raises(InvalidMessage, match=why) as caught:
        read(**fields)
    assert caught.value.remedy


def test_arguments_beyond_all_floats():
    """A number that no float holds is legal in a context, and no number of ms."""
    for name, argument in (("context", '"context":{"a":1e999}'), ("step", '"name":"s","data":1e999')):
        value = json.dumps({**SPINE, "command": name})[:-1] + f",{argument}}}"
        assert "1e999" in str(CODEC.decode(value.encode(), 1))
    value = json.dumps({**SPINE, "command": "step"})[:-1] + ',"name":"s","duration_ms":1e999}'
    with pytest.raises(InvalidMessage, match="duration_ms as a number"):
        CODEC.decode(value.encode(), 1)


def test_odd_commands():
    """A command has no flags; when strict, it must conform too."""
    assert read(command="end", record_id="x").record_id == "x"
    assert read(command="end", record_id=None).record_id == ""
    with pytest.raises(InvalidMessage, match="record_id is not a UUID"):
        make_codec(strict=True).decode(json.dumps({**SPINE, "command": "end", "record_id": "x"}).encode(), 1)


def test_details_in_avro():
    """They are a JSON object or nothing."""
    assert read_avro(" ", command="end").details is None
    assert read_avro('{"a": 1}', command="end").details == '{"a":1}'
    with pytest.raises(DecodeError, match="no JSON object"):
        read_avro("[1]", command="end")


def test_r7_a_command_that_says_its_request_is_the_same_whenever_it_is_sent():
    """R7: by record id and request it is recognised as a repeat, though its time or its performer is another."""
    first = read(command="note", note="calm", request="r1")
    later = read(command="note", note="calm", request="r1", timestamp="2025-06-15T13:00:00.000Z")
    assert first.timestamp_ms < later.timestamp_ms
    assert first.content_hash == later.content_hash
    assert first.details == '{"request":"r1"}'
    others = [
        read(command="note", note="calm", request="r2"),
        read(command="note", note="calm", request="r1", record_id="07e4c9ff-9b8e-4d3e-bc7c-2b1b1731df57"),
        read(command="note", note="calm"),
    ]
    assert len({first.content_hash, *(each.content_hash for each in others)}) == 4


def test_r7_without_a_record_id_a_request_names_nothing():
    """R7: then the bytes are what a command is known by, as ever."""
    one, other = (read(command="end", request="r1", record_id=None, timestamp=f"2025-06-15T1{n}:00:00Z") for n in "34")
    assert one.content_hash != other.content_hash


def test_a_request_to_erase_is_no_command_of_a_session():
    """It says who is to be erased; nothing else in it counts."""
    value = request_of("elias01", record_id=SPINE["record_id"], now_ms=1_749_990_896_789)
    erase = CODEC.decode(value, 9)
    assert isinstance(erase, Erase)
    assert erase[:4] == ("elias01", SPINE["record_id"], 1_749_990_896_789, 9)
    with pytest.raises(InvalidMessage, match="user_id is missing"):
        CODEC.decode(b'{"command":"erase","timestamp":"2025-06-15T12:34:56.789Z"}', 9)
