"""Records that no processor can tag, or may be thought so."""

from tests.broker.fleet import BASE_MS, message

DEEP = b"[" * 1_000 + b"]" * 1_000
AVRO = bytes.fromhex("c301")


def with_field(name: str, raw: bytes) -> bytes:
    return message("ann", BASE_MS)[:-1] + b',"' + name.encode() + b'":' + raw + b"}"


# What comes, and words that the reason must have; none when it is to be tagged.
BAD: dict[str, tuple[bytes | None, str | None]] = {
    "broken JSON": (b'{"user_id": "ann", ', "JSON"),
    "no JSON at all": (b"hello", "text, but no JSON"),
    "truncated Avro": (AVRO + b"\x00" * 5, ""),
    "an unknown fingerprint": (AVRO + b"\x01" * 30, "schema"),
    "an unknown schema id": (b"\x00\x00\x00\x00\x63" + b"\x02" * 20, "schema"),
    "no user id": (message("x", BASE_MS).replace(b'"user_id"', b'"userid"'), "user_id"),
    "a blank user id": (message("   ", BASE_MS), "user_id"),
    "a user id of 300 bytes": (message("u" * 300, BASE_MS), "300 bytes"),
    "a path as user id": (message("../../etc/passwd", BASE_MS), None),
    "a lone surrogate in the user id": (message("x", BASE_MS).replace(b'"x"', b'"\\ud800"'), ""),
    "the year 9999": (message("ann", 253_402_300_799_000), None),
    "the year 10000": (message("ann", BASE_MS).replace(b"2025-", b"10000-"), "timestamp"),
    "epoch 0": (message("epoch", 0), None),
    "before epoch 0": (message("ann", BASE_MS).replace(b"2025-", b"1925-"), "timestamp"),
    "NaN as timestamp": (b'{"user_id":"ann","timestamp":NaN}', ""),
    "NaN elsewhere": (with_field("score", b"NaN"), ""),
    "almost 1 MB of extras": (with_field("extra", b'"' + b"x" * 1_040_000 + b'"'), None),
    "nesting 1000 deep": (with_field("deep", DEEP), "levels deep"),
    "nesting 100000 deep": (with_field("deep", b"[" * 100_000 + b"]" * 100_000), ""),
    "nesting that never ends": (b'{"user_id":' + b"[" * 100_000, "levels deep"),
    "the user id twice": (with_field("user_id", b'"bob"'), "user_id"),
    "a field twice": (with_field("text", b'1,"text":2'), None),
    "a tombstone": (None, "tombstone"),
    "an empty value": (b"", "empty"),
    "a lone zero": (b"\x00", ""),
    "bytes that are no text": (b'{"user_id":"ann\xff","timestamp":"2025-06-15T12:00:00Z"}', ""),
    "an unknown command": (message("ann", BASE_MS, command="explode"), "command"),
    "a huge template name": (message("ann", BASE_MS, command="start", template="t" * 900_000), "at most 256"),
}
