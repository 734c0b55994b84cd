"""Dead letters are listed with their reasons, and go back once."""

import json
import uuid
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from processor.cli.app import app
from processor.errors import OutcomeUnknown, UsageError
from processor.kafka.audit import KafkaTopics
from processor.kafka.deadletters.letter import DeadLetter, grouped, read_letters
from processor.kafka.deadletters.retrying import put_back, refusal, topic_to_fill
from processor.kafka.reading.reader import Reader
from processor.runtime.ports import TopicRecord

pytestmark = pytest.mark.broker


def write(kafka: str, topics: str, number: int, *, stage: str = "decode", **more: str) -> None:
    """Write the dead letter that the processor would write for offset `number` of partition 1."""
    described = {"topic": f"{topics}.raw", "partition": 1, "offset": number, "timestamp": 1_700_000_000_000}
    described |= {"stage": stage, "error": "DecodeError", "message": "value is broken; mend it", "size": 3}
    headers: list[tuple[str, str | bytes | None]] = [("trace", b"t1"), ("empty", None)]
    headers += [(f"a3cp-dlq-{name}", str(text).encode()) for name, text in described.items()]
    headers += [(name.replace("_", "-"), text.encode()) for name, text in more.items()]
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(f"{topics}.dlq", f"v{number}".encode(), b"elias01", 1, headers=headers)
    producer.flush(60)


def letters(kafka: str, topics: str) -> list[DeadLetter]:
    with Reader({"bootstrap.servers": kafka}, f"{topics}.dlq") as reader:
        return read_letters(reader)


def raw(kafka: str, topics: str) -> list[TopicRecord]:
    with Reader({"bootstrap.servers": kafka}, f"{topics}.raw") as reader:
        return list(reader.read_all())


def run(
    kafka: str, topics: str, wanted: Callable[[DeadLetter], bool] = lambda letter: letter.status == "waiting"
) -> list[DeadLetter]:
    return [letter for part in parts(kafka, topics, wanted) for letter in part]


def parts(kafka: str, topics: str, wanted: Callable[[DeadLetter], bool] = lambda _: True) -> Iterator[list[DeadLetter]]:
    conf = {"bootstrap.servers": kafka}
    topic = topic_to_fill(conf, f"{topics}.raw")
    chosen = [letter for letter in letters(kafka, topics) if wanted(letter) and refusal(letter, topic) is None]
    return put_back(conf, chosen, raw=topic, dlq=f"{topics}.dlq", group_id=topics)


def test_a_letter_goes_back_once(kafka: str, topics: str) -> None:
    """Same bytes, key, partition and own headers, marked; a second run finds nothing to do, and the list says so."""
    for number in range(3):
        write(kafka, topics, number)
    assert [letter.source for letter in run(kafka, topics)] == [f"{topics}.raw[1]@{number}" for number in range(3)]
    assert run(kafka, topics) == []
    found = raw(kafka, topics)
    assert [(record.partition, record.key, record.value) for record in found] == [
        (1, b"elias01", f"v{number}".encode()) for number in range(3)
    ]
    assert found[0].headers == [("trace", b"t1"), ("empty", None), ("a3cp-retried", f"{topics}.dlq[1]@0".encode())]
    assert {letter.status for letter in letters(kafka, topics)} == {"retried"}


def test_what_was_not_chosen_waits(kafka: str, topics: str) -> None:
    """The others are left for another run."""
    write(kafka, topics, 0)
    write(kafka, topics, 1, stage="validate")
    write(kafka, topics, 2, stage="validate")
    assert [letter.source[-1] for letter in run(kafka, topics, lambda letter: letter.source.endswith("@1"))] == ["1"]
    assert [letter.status for letter in letters(kafka, topics)] == ["waiting", "retried", "waiting"]
    assert [letter.source[-1] for letter in run(kafka, topics)] == ["0", "2"]


def test_withheld_and_failed_again_stay(kafka: str, topics: str) -> None:
    """What was not kept cannot go back; what came back once does not go round in circles."""
    write(kafka, topics, 0, a3cp_dlq_withheld="raw media")
    write(kafka, topics, 1, a3cp_retried=f"{topics}.dlq[1]@9")
    assert [letter.status for letter in letters(kafka, topics)] == ["withheld", "failed again"]
    assert run(kafka, topics) == []


def test_a_foreign_record_is_listed_too(kafka: str, topics: str) -> None:
    """Somebody else's record in the topic has no reason, and does not break the list."""
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(f"{topics}.dlq", b"abc", None, 2, headers={"a3cp-dlq-partition": b"x"})
    producer.flush(60)
    (letter,) = letters(kafka, topics)
    assert (letter.stage, letter.size_bytes, letter.why) == ("unknown", 3, "it has no header that says why")
    assert next(iter(grouped([letter])))[1] == [letter]


def test_killed_in_the_middle(kafka: str, topics: str) -> None:
    """A retry that dies with an open transaction leaves nothing behind: the next run does all, once."""
    for number in range(2):
        write(kafka, topics, number)
    dead = Producer({"bootstrap.servers": kafka, "transactional.id": f"{topics}-dlq-retry"})
    dead.init_transactions(60)
    dead.begin_transaction()
    dead.produce(f"{topics}.raw", b"v0", b"elias01", 1)
    dead.produce(f"{topics}.dlq", None, b"elias01", 1, headers={"a3cp-dlq-retried": f"{topics}.dlq[1]@0"})
    dead.flush(60)
    assert len(run(kafka, topics)) == 2
    assert [record.value for record in raw(kafka, topics)] == [b"v0", b"v1"]
    assert {letter.status for letter in letters(kafka, topics)} == {"retried"}


def test_two_at_the_same_time(kafka: str, topics: str) -> None:
    """The later one takes over; the earlier one's open part is undone and said to be, and nothing goes twice."""
    fill(kafka, topics, 1_200)
    slow = parts(kafka, topics)
    assert len(next(slow)) == 500
    assert len(run(kafka, topics)) == 700
    with pytest.raises(OutcomeUnknown, match="run it again"):
        next(slow)
    assert len(raw(kafka, topics)) == 1_200


def test_what_another_has_sent_since(kafka: str, topics: str) -> None:
    """What was put back after the letters were read does not go twice."""
    for number in range(2):
        write(kafka, topics, number)
    late = parts(kafka, topics)
    assert len(run(kafka, topics)) == 2
    assert list(late) == []
    assert len(raw(kafka, topics)) == 2


def fill(kafka: str, topics: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": kafka})
    for number in range(count):
        headers: list[tuple[str, str | bytes | None]] = [
            ("a3cp-dlq-partition", b"%d" % (number % 4)),
            ("a3cp-dlq-offset", b"%d" % number),
        ]
        producer.produce(f"{topics}.dlq", uuid.uuid4().bytes, None, number % 4, headers=headers)
    producer.flush(60)


def test_many(kafka: str, topics: str) -> None:
    """More than one transaction's worth."""
    fill(kafka, topics, 1_200)
    assert len(run(kafka, topics)) == 1_200
    values = [record.value for record in raw(kafka, topics)]
    assert len(set(values)) == len(values) == 1_200


def test_what_raw_does_not_take_is_skipped(kafka: str, topics: str) -> None:
    """Too large, in a partition that does not exist: it is known why; the others go, once, in their order."""
    # Idempotent, since a batch that is retried must not land behind the next: letters are known by their offsets.
    producer = Producer({"bootstrap.servers": kafka, "message.max.bytes": 4 << 20, "enable.idempotence": True})
    large = {7, 300, 301, 899}
    largest = b"x" * ((1 << 20) - 170)
    for number in range(900):
        value = b"x" * (3 << 19) if number in large else largest if number == 500 else b"%d" % number
        partition = {11: b"4", 12: b"9" * 5_000, 13: b"9" * 18}.get(number, b"1")
        producer.produce(f"{topics}.dlq", value, None, 1, headers={"a3cp-dlq-partition": partition})
    assert producer.flush(60) == 0
    assert len(run(kafka, topics)) == 894
    topic = topic_to_fill({"bootstrap.servers": kafka}, f"{topics}.raw")
    reasons = {letter.position: why for letter in letters(kafka, topics) if (why := refusal(letter, topic)) is not None}
    assert reasons.keys() == {f"{topics}.dlq[1]@{number}" for number in (*large, 11, 13)}
    for number in large:
        assert reasons[f"{topics}.dlq[1]@{number}"] == f"larger than {topics}.raw takes (1,048,576 bytes)"
    for number in (11, 13):
        assert reasons[f"{topics}.dlq[1]@{number}"] == f"of a partition that {topics}.raw does not have"
    expected = [largest if number == 500 else b"%d" % number for number in range(900) if number not in {*large, 11, 13}]
    assert [record.value for record in raw(kafka, topics)] == expected
    assert run(kafka, topics) == []
    assert len(raw(kafka, topics)) == 894


def test_a_letter_is_no_marker(kafka: str, topics: str) -> None:
    """A dead letter that kept such a header of its record is listed, and goes back; and is seen by audits."""
    write(kafka, topics, 0, a3cp_dlq_retried=f"{topics}.dlq[1]@7")
    write(kafka, topics, 1)
    names = [f"{topics}.dlq"]
    assert [record.offset for record in KafkaTopics({"bootstrap.servers": kafka}, names).read(names[0], 1)] == [0, 1]
    assert len(run(kafka, topics)) == 2
    assert [record.offset for record in KafkaTopics({"bootstrap.servers": kafka}, names).read(names[0], 1)] == [0, 1]


def shown(kafka: str, topics: str, position: str, *arguments: str) -> str:
    done = CliRunner().invoke(
        app, ["dlq", "show", position, "--bootstrap", kafka, "--prefix", topics, *arguments], catch_exceptions=False
    )
    assert done.exit_code == 0
    return done.output


def test_one_is_shown_whole(kafka: str, topics: str) -> None:
    """Why, what to do, where it was, key, headers and value; what was put back meanwhile says so."""
    write(kafka, topics, 0)
    position = f"{topics}.dlq[1]@0"
    lines = shown(kafka, topics, position).splitlines()
    assert {
        f"dead letter  {position}",
        f"was at       {topics}.raw[1]@0, appended 2023-11-14 22:13:20Z",
        "status       waiting",
        "stage        decode: its bytes cannot be read",
        "why          value is broken",
        "what to do   mend it",
        "key          elias01",
        "header       trace: t1",
        "  v0",
    } <= set(lines)
    assert len(run(kafka, topics)) == 1
    told = json.loads(shown(kafka, topics, position, "--json"))
    assert (told["status"], told["value"], told["headers"]) == ("retried", "v0", [["trace", "t1"], ["empty", ""]])
    for wrong in (f"{topics}.dlq[1]@7", f"{topics}.dlq[99]@0", f"{topics}.raw[1]@0", "12"):
        with pytest.raises(UsageError, match=r"no dead letter at|is no position in"):
            shown(kafka, topics, wrong)


def test_what_is_shown_steers_no_terminal_and_holds_no_media(kafka: str, topics: str) -> None:
    """Bytes come as digits, control characters marked; media that a dead letter holds all the same is left out."""
    producer = Producer({"bootstrap.servers": kafka})
    media = b'{"image": "data:image/png;base64,iVBORw0KGgo%s"' % (b"A" * 400)
    for value in (b"\x1b[2Jtext", b"\x00\xff", media):
        producer.produce(f"{topics}.dlq", value, b"\x1b", 2)
    producer.flush(60)
    first, second, third = (shown(kafka, topics, f"{topics}.dlq[2]@{offset}") for offset in range(3))
    assert "  \N{REPLACEMENT CHARACTER}[2Jtext" in first
    assert "  hex 00ff" in second
    assert "not shown: raw media" in third
    assert "\x1b" not in first + second + third
    assert "iVBOR" not in third + shown(kafka, topics, f"{topics}.dlq[2]@2", "--json")
