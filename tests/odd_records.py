"""One set of records that are legal and odd, in every encoding: every reader of the project is tried on it.

Each has a user of its own, called by what is odd about it, and so a session of its own.
"""

import datetime as dt
import json
import re
import struct
import uuid
from decimal import Decimal
from typing import Any, Final

from processor.codec.wire import confluent_header
from tests.strategies import avro_body, single_object

TIME: Final = "2025-06-15T15:06:40.000Z"
NUL_IN_USER: Final = "a NUL in the user's id"
TIME_MS: Final = 1_750_000_000_000


def _spine(user_id: str, number: int = 0) -> dict[str, Any]:
    record_id = str(uuid.UUID(int=number, version=4))
    return {"schema_version": "1.0.1", "record_id": record_id, "user_id": user_id, "timestamp": TIME}


# What stands where JSON has a value, after a conforming spine.
_VALUES: Final[dict[str, bytes]] = {
    "a number beyond every float": b"1e400",
    "a negative number beyond every float": b"-1E+400",
    "a number below every float": b"1e-400",
    "a whole number of 30 digits": b"9" * 30,
    "a whole number of 400 digits": b"9" * 400,
    "a whole number of 5000 digits": b"-" + b"9" * 5000,
    "a whole number of 64 bits": b"18446744073709551615",
    "minus nought": b"-0",
    "minus nought as a fraction": b"-0.0",
    "a number of 30 places": b"0.123456789012345678901234567890",
    "exponents": b"[1e5, 1E5, 1e+5, 1E-5, 1.50e0]",
    "NUL": b'"a\\u0000b"',
    "an escaped slash": b'"a\\/b"',
    "all short escapes": b'"\\"\\\\\\/\\b\\f\\n\\r\\t"',
    "a pair of surrogates": b'"\\ud83d\\ude00"',
    "beyond the basic plane": '"😀𝔸"'.encode(),
    "composed and decomposed": '"\u00e9 e\u0301"'.encode(),
    "separators of lines": '"a\u2028b\u2029c\u0085d"'.encode(),
    "no characters": '"\ufeff\ufffe\uffff\U0010ffff"'.encode(),
    "other directions": '"\u202eabc\u2066"'.encode(),
    "DEL and C1": '"\x7f\u0080\u009b"'.encode(),
    "markup": b'"</script><!--<img src=x onerror=alert(1)>&amp;"',
    "a formula": b'"=HYPERLINK(\\"x\\")"',
    "CSV's own": b'"a;b,c\\n\\"d\\"\\r\\ne"',
    "a long text": b'"' + b"x" * 200_000 + b'"',
    "200 levels": b"[" * 200 + b"]" * 200,
    "200 levels of objects": b'{"a":' * 200 + b"1" + b"}" * 200,
    "nothing in it": b'[{}, [], "", {"": {}}, [[]]]',
    "truth and null": b"[true, false, null]",
    "names that mean something elsewhere": b'{"__proto__": {"x": 1}, "constructor": 1, "toString": 2, "a.b": 3, '
    b'"a\'b": 4, "a\\"b": 5, "$ref": 6, "": 7, "\\u0000": 8, " ": 9}',
    "a name twice": b'{"a": 1, "a": 2, "\\u0061": 3}',
}
# Fields of messages that readers look into, with values that they do not expect.
_FIELDS: Final = (
    "event", "classifier_output", "intent_predictions", "clarification", "context", "annotation", "raw_features_ref",
    "label_status", "label_correction", "transcript", "output_phrase", "consent_given", "is_demo", "notes", "extra",
    "memory", "final_label", "partner_action", "error_code", "model_version", "context_flags", "trigger", "seq",
    "modality", "source", "performer_id", "capture_id", "schema_version", "record_id", "final_decision",
)  # fmt: skip
_UNEXPECTED: Final = (b"1e400", b"-7", b"true", b"null", b'""', b"[]", b"{}", b'["a", 1, {"intent": 1e400}]',
                      b'{"intent": "x", "confidence": 1e400}', b'{"intent": {"a": []}, "x": 1e999, "shape": [1e99]}',
                      b'"a\\u0000b"', b"9" * 400, b'"__proto__"', b'"constructor"')  # fmt: skip


def json_records() -> dict[str, bytes]:
    """Return the texts by what is odd about them, which is also their user."""
    texts: dict[str, bytes] = {}

    def plain(name: str) -> bytes:
        return json.dumps(_spine(name), ensure_ascii=False).encode()

    for name, value in _VALUES.items():
        texts[name] = plain(name)[:-1] + b', "odd": ' + value + b', "transcript": ' + value + b"}"
    for number, value in enumerate(_UNEXPECTED):
        name = f"unexpected {number}"
        members = (b', "%b": %b' % (field.encode(), value) for field in _FIELDS)
        texts[name] = json.dumps({"user_id": name, "timestamp": TIME}).encode()[:-1] + b"".join(members) + b"}"
    for name, before, after in (
        ("a blank before", b" ", b""), ("a line before", b"\r\n", b""), ("a tab before", b"\t", b""),
        ("a line behind", b"", b"\r\n"), ("space all around", b" \t\r\n \n", b"\n\n\t\r "),
    ):  # fmt: skip
        texts[name] = before + plain(name) + after
    name = "space within"
    texts[name] = json.dumps(_spine(name), indent=4, separators=(" ,\r\n\t", "\t:\n ")).encode()
    name = "space within and a claim"
    texts[name] = b"\n" + json.dumps({**_spine(name), "session_id": "theirs", "x": 1}, indent=1).encode() + b"\n"
    name = "a claim as the last"
    texts[name] = json.dumps({**_spine(name), "session_id": "theirs"}).encode() + b" "
    name = "a claim of null"
    texts[name] = b" " + json.dumps({**_spine(name), "session_id": None}).encode()
    name = "escaped names"
    texts[name] = plain(name).replace(b'"user_id"', b'"user\\u005fid"').replace(b'"timestamp"', b'"\\u0074imestamp"')
    name = "an escaped claim"
    texts[name] = plain(name)[:-1] + b', "session\\u005fid": "theirs"}'
    name = "a field of the tag"
    texts[name] = plain(name)[:-1] + b', "session_seq": 7, "claimed_session_id": "x", "session_flags": {}}'
    name = "unknown twice"
    texts[name] = plain(name)[:-1] + b', "x": 1, "x": 2, "\\u0078": 3}'
    texts[NUL_IN_USER] = json.dumps(_spine("a NUL \0 in the user")).encode()
    name = "another user twice over"
    texts[name] = plain(name)[:-1] + b', "aligned": [{"user_id": "x", "session_id": "y", "timestamp": 5}]}'
    name = "times"
    for number, text in enumerate((
        "2025-06-15", "2025-06-15 15:06:40+00:00", "2025-06-15T15:06:40", "2025-06-15T15:06:40.123456789Z",
        "2025-06-15T17:06:40+0200", "2025-06-15t15:06:40,5Z", "2025-06-15 15:06:40+00", "2025-06-15 15:06:40.5-03",
    )):  # fmt: skip
        texts[f"{name} {number}"] = json.dumps({**_spine(f"{name} {number}"), "timestamp": text}).encode()
    return texts


def json_commands() -> dict[str, list[bytes]]:
    """Return the commands of one session each, by the user, with what is odd in their arguments."""
    told = {}
    for name, value in _VALUES.items():
        arguments = (
            b'"start", "session_notes": "a\\u0000b"',
            b'"context", "context": {"odd": ' + value + b', "__proto__": 1}',
            b'"step", "step": {"name": "s", "data": ' + value + b"}",
            b'"step", "name": "flat", "data": ' + value,
            b'"note", "note": "a\\u0000b", "odd": ' + value,
            b'"status", "status": "\\ud83d\\ude00", "odd": ' + value,
            b'"end"',
        )
        told[name] = [
            b' %b,\n"command": %b }\n' % (json.dumps(_spine(name, number)).encode()[:-1], argument)
            for number, argument in enumerate(arguments)
        ]
    return told


# Avro's types, logical ones too, with a value each.
_TYPES: Final[dict[str, tuple[Any, Any]]] = {
    "null": ("null", None),
    "boolean": ("boolean", True),
    "int": ("int", -(1 << 31)),
    "long": ("long", -(1 << 63)),
    "float": ("float", 0.1),
    "float infinity": ("float", float("-inf")),
    "double": ("double", 1e308),
    "double infinity": ("double", float("inf")),
    "double NaN": ("double", float("nan")),
    "bytes": ("bytes", bytes(range(256))),
    "no bytes": ("bytes", b""),
    "string": ("string", "a\0b \u2028 😀 </script>"),
    "fixed": ({"type": "fixed", "name": "F", "size": 3}, b"\xff\0A"),
    "fixed of nothing": ({"type": "fixed", "name": "F", "size": 0}, b""),
    "enum": ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "B"),
    "array": ({"type": "array", "items": "bytes"}, [b"\0", b"\xff"]),
    "map": (
        {"type": "map", "values": ["null", "bytes", "double"]},
        {"": b"\xff", "__proto__": float("inf"), "a.b": None},
    ),
    "record": ({"type": "record", "name": "R", "fields": [{"name": "a", "type": "bytes"}]}, {"a": b"\xfe"}),
    "union": (["null", "bytes", "string", {"type": "fixed", "name": "F", "size": 2}], b"\x80"),
    "decimal": ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, Decimal("-1234567.89")),
    "decimal in fixed": (
        {"type": "fixed", "name": "F", "size": 8, "logicalType": "decimal", "precision": 9, "scale": 2},
        Decimal("12.50"),
    ),
    "big-decimal": ({"type": "bytes", "logicalType": "big-decimal"}, b"\x04\x30\x39\x04"),
    "uuid": ({"type": "string", "logicalType": "uuid"}, uuid.UUID(int=7)),
    "uuid in fixed": ({"type": "fixed", "name": "F", "size": 16, "logicalType": "uuid"}, uuid.UUID(int=7).bytes),
    "date": ({"type": "int", "logicalType": "date"}, dt.date(1969, 1, 1)),
    "time-millis": ({"type": "int", "logicalType": "time-millis"}, dt.time(23, 59, 59)),
    "time-micros": ({"type": "long", "logicalType": "time-micros"}, dt.time(23, 59, 59)),
    **{
        kind: ({"type": "long", "logicalType": kind}, -(1 << 62))
        for half in ("timestamp", "local-timestamp")
        for kind in (f"{half}-millis", f"{half}-micros", f"{half}-nanos")
    },
    "duration": ({"type": "fixed", "name": "F", "size": 12, "logicalType": "duration"}, struct.pack("<3I", 1, 2, 3)),
    "an unknown logical type": ({"type": "bytes", "logicalType": "ours"}, b"\xff"),
}
_TIMES: Final[dict[str, tuple[Any, Any]]] = {
    **{
        f"time as {half}timestamp-{unit}": (
            {"type": "long", "logicalType": f"{half}timestamp-{unit}"},
            TIME_MS * factor,
        )
        for half in ("", "local-")
        for unit, factor in (("millis", 1), ("micros", 1_000), ("nanos", 1_000_000))
    },
    "time as null or long": (["null", "long"], TIME_MS),
    "time as text or null": (["string", "null"], TIME),
}


def framed_records() -> tuple[list[str], dict[str, bytes]]:
    """Return schemas, to be registered as ids 1, 2, …, and values in them; each type stands in every field at once."""
    schemas: list[str] = []
    values: dict[str, bytes] = {}

    def add(name: str, fields: dict[str, tuple[Any, Any]]) -> None:
        listed = [
            {
                "name": field,
                "type": json.loads(re.sub(r'"name": "([A-Z])"', rf'"name": "\1_{field}"', json.dumps(kind))),
            }
            for field, (kind, _) in fields.items()
        ]
        schemas.append(json.dumps({"type": "record", "name": "Odd", "namespace": "a.b", "fields": listed}))
        content = avro_body(schemas[-1], {field: value for field, (_, value) in fields.items()})
        values[name] = confluent_header(len(schemas)) + content

    for name, odd in _TYPES.items():
        spine = {"user_id": ("string", name), "timestamp": ("long", TIME_MS)}
        add(name, spine | dict.fromkeys(("odd", "session_seq", "session_id", *_FIELDS), odd))
    for name, time in _TIMES.items():
        add(name, {"user_id": ("string", name), "timestamp": time})
    return schemas, values


def shipped_records() -> dict[str, bytes]:
    """Return messages of the shipped schema, in single-object encoding."""
    texts: dict[str, bytes] = {}
    extras = (None, "", "no JSON", "[1]", "null", " {}\n", '{"x": 1e400}', '{"user_id": "x", "timestamp": 5}',
              '{"a": "\\ud800"}', "[" * 1000, '{"x": ' + "9" * 5000 + "}", '{"transcript": "a\\u0000b"}',
              '{"session_id": "x", "session_seq": 1}')  # fmt: skip
    for number, extra in enumerate(extras):
        name = f"extra {number}"
        fields = {**_spine(name), "timestamp": TIME_MS, "extra": extra}
        fields |= dict.fromkeys(("performer_id", "modality", "source", "capture_id", "session_id"))
        texts[name] = single_object("A3CPMessage", fields)
    odd = _spine("odd texts") | {"timestamp": TIME_MS, "extra": None, "performer_id": "a\0b", "modality": "\u2028",
                                 "source": "😀" * 40, "capture_id": "", "session_id": "\0"}  # fmt: skip
    texts["odd texts"] = single_object("A3CPMessage", odd)
    return texts
