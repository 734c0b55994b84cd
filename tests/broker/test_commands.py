"""The commands that talk to Kafka, as a person runs them, with a running processor."""

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from processor.runtime.partitioner import partition_of
from tests.broker.commands import Commands
from tests.broker.fleet import TIMEOUT_S, await_true
from tests.cli.running import PROGRAM
from tests.conftest import PARTITIONS

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[2]
GOOD = {"schema_version": "1.0.1", "record_id": "07e4c9ff-9b8e-4d3e-bc7c-2b1b1731df56", "user_id": "elias01"}


@pytest.fixture
def a3cp(kafka: str, topics: str) -> Commands:
    return Commands(kafka, topics)


@pytest.fixture
def processing(a3cp: Commands, tmp_path: Path) -> Iterator[None]:
    log_file = tmp_path / "process.log"
    with log_file.open("w") as log:
        process = subprocess.Popen([*PROGRAM, "process"], env=a3cp.environ, stdout=log, stderr=log)
        try:
            await_true("the processor reads", lambda: log_file.read_text().count("restored") >= PARTITIONS)
            yield
        finally:
            process.terminate()
            assert process.wait(TIMEOUT_S) == 0, log_file.read_text()


def message(seconds: int, **fields: Any) -> str:
    return json.dumps({**GOOD, "timestamp": f"2025-06-15T12:34:{seconds:02}Z", **fields})


def test_a_session_from_start_to_end(a3cp: Commands, processing: None) -> None:
    """Each command waits for its outcome and prints it; refused ones say why and what to do, with exit code 1."""
    started = a3cp.json("session", "start", "elias01", "--performer", "carer01", "--training", "--label", "help")
    assert (started["accepted"], started["kind"], started["is_training_data"]) == (True, "started", True)
    assert (started["performer_id"], started["training_intent_label"]) == ("carer01", "help")
    session = started["session_id"]
    assert a3cp("session", "start", "elias01").stdout == f"nothing to do: session {session} is open already\n"
    assert a3cp("session", "pause", "elias01").stdout == f"paused session {session}\n"
    assert a3cp("session", "resume", "elias01").stdout.startswith(f"resumed session {session} (paused for ")
    assert a3cp("session", "touch", "elias01").stdout == f"session {session} stays open\n"
    assert (
        a3cp("session", "tag", "elias01", "urgent", "--remove", "new").stdout == f"tags of session {session} changed\n"
    )
    assert "needs tags to add or remove" in a3cp("session", "tag", "elias01", code=2).stderr
    assert a3cp.json("session", "note", "elias01", "looked tired")["session_notes"] == "looked tired"
    told = a3cp.json("session", "context", "elias01", "location=kitchen", "people=2")
    assert told["details"] == {"context": {"location": "kitchen", "people": 2}}
    renewed = a3cp.json("session", "start", "elias01", "--force-new")
    assert renewed["previous_session_id"] == session
    refused = a3cp("session", "end", "elias01", "--session", session, code=1).stderr
    assert re.fullmatch(
        r"refused \(already_closed\): the session has ended \(the last ended \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\); "
        r"start a new one with a3cp session start elias01\n",
        refused,
    )
    assert a3cp("session", "end", "elias01").stdout.startswith(f"ended session {renewed['session_id']} (0 messages")
    for _ in range(2):  # Its own refusals do not make a name one that was seen.
        assert a3cp("session", "end", "elais01", code=1).stderr == (
            "refused (not_found): elais01 has no open session (never seen); "
            "check how it is spelled: a start makes it a new user\n"
        )
    again = a3cp("session", "pause", "elias01", code=1).stderr
    assert re.fullmatch(
        r"refused \(not_found\): elias01 has no open session \(the last ended \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\); "
        r"start one with a3cp session start elias01\n",
        again,
    )
    other = a3cp("session", "end", "elias01", "--session", "sess_none", code=1).stderr
    assert "elias01 has no session of this id (the last ended " in other


def test_records_as_they_come(a3cp: Commands, processing: None) -> None:
    """A user's tagged messages, from the beginning or a position, in words and as JSON; a wrong place is refused."""
    lines = "".join(message(second, user_id=user, source="ui") + "\n" for second in range(3) for user in ("ann", "ben"))
    a3cp("produce", "-", stdin=lines)
    shown = a3cp("tail", "tagged", "--from", "beginning", "--user", "ann", "-n", "3").stdout.splitlines()
    assert [re.sub(r".*  ann  sess_\w+ ", "", line) for line in shown] == [
        f"#{number}  Message from the A3CP page" for number in (1, 2, 3)
    ]
    position = shown[1].split("  ")[1]
    told = a3cp.json("tail", position.partition("[")[0], "--from", position, "--user", "ann", "-n", "1")
    assert (told["position"], told["session_seq"], told["message"]["source"]) == (position, 2, "ui")
    event = a3cp("tail", "sessions", "--from", "beginning", "--user", "ann", "-n", "1").stdout
    assert event.endswith("  Session started with the first message\n")
    refused = a3cp("tail", "raw", "--from", "99@0", code=2).stderr
    assert f"there is no {a3cp.environ['A3CP_TOPIC_PREFIX']}.raw[99]" in refused


def test_wrong_usage_of_session(a3cp: Commands) -> None:
    """What cannot be asked is not sent: exit code 2, one line."""
    assert "no NAME=VALUE" in a3cp("session", "context", "elias01", "kitchen", code=2).stderr
    assert "user_id is blank" in a3cp("session", "end", " ", code=2).stderr
    assert "error: user_id begins or ends with a blank" in a3cp("session", "start", "elias01 ", code=2).stderr
    assert "user_id holds characters that cannot be seen" in a3cp("session", "end", "eli\u200bas", code=2).stderr
    assert "performer_id begins or ends" in a3cp("session", "end", "elias01", "--performer", " c", code=2).stderr
    assert "no outcome within 0.3 s" in a3cp("session", "end", "elias01", "--timeout", "0.3", code=1).stderr


def test_produce_reports_and_goes_on(a3cp: Commands, tmp_path: Path) -> None:
    """Good lines are sent, bad ones told by file and number, exit code 1 when there were any."""
    good = tmp_path / "good.jsonl"
    good.write_text("\n".join(message(second) for second in range(3)))
    assert "sent 3 to" in a3cp("produce", str(good)).stdout
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text(f"{message(1)}\n{{broken\n{message(2, command='start')}\n")
    done = a3cp("produce", str(mixed), "-", stdin=message(3), code=1)
    assert "(1 of them commands, 1 user, 2 files" in done.stdout
    assert "1 bad line, not sent:" in done.stderr
    assert f"{mixed}:2: " in done.stderr
    told = a3cp.json("produce", "-", stdin=f'{message(1)}\n{{"user_id":"u"}}\n', code=1)
    assert (told["sent"], told["users"], told["bad"]) == (1, 1, 1)
    assert told["bad_lines"][0]["number"] == 2
    assert "no file nowhere" in a3cp("produce", "nowhere", code=2).stderr
    too_large = a3cp.json("produce", "-", stdin=message(1, text="x" * 1_500_000), code=1)
    assert "larger than the topic takes" in too_large["bad_lines"][0]["why"]


def test_one_record_too_large_for_the_client_itself(a3cp: Commands, tmp_path: Path) -> None:
    """From 4 MiB on the client refuses it at once: told by file and line, and what comes after is sent."""
    file = tmp_path / "large.jsonl"
    size = (4 << 20) - len(message(2, text="")) - 2
    file.write_text("\n".join((message(1), message(2, text="x" * size), message(3))))
    told = a3cp.json("produce", str(file), code=1)
    assert (told["sent"], told["bad"]) == (2, 1)
    (line,) = told["bad_lines"]
    assert (line["file"], line["number"]) == (str(file), 2)
    assert "larger than the topic takes" in line["why"]


def test_a_pipe_is_a_file_too(a3cp: Commands) -> None:
    """What a shell's <(…) names is read to its end."""
    assert json.loads(a3cp.alone("produce", "/dev/stdin", "--json", stdin=message(1)).stdout)["sent"] == 1


def test_files_that_are_none(a3cp: Commands, tmp_path: Path) -> None:
    """A folder or nothing at all stops before anything is sent."""
    good = tmp_path / "good.jsonl"
    good.write_text(message(1))
    for name in (str(good / "below"), "x" * 300):
        done = a3cp("produce", name, str(good), code=2)
        assert (done.stdout, done.stderr.startswith(f"error: no file {name}; ")) == ("", True)
    done = a3cp("produce", str(tmp_path), str(good), code=2)
    assert (done.stdout, done.stderr) == (
        "", f"error: {tmp_path} is a folder; name the files in it, such as {tmp_path}/*\n"
    )  # fmt: skip


def test_produce_tells_what_does_not_conform(a3cp: Commands, tmp_path: Path) -> None:
    """Line by line, with why; it is sent all the same. With A3CP_STRICT it is refused, as the processor would."""
    file = tmp_path / "day.jsonl"
    file.write_text(f"{message(1)}\n{message(2, user_id='elias01 ', record_id='r')}\n")
    done = a3cp("produce", str(file))
    assert done.stdout.startswith("sent 2 to ")
    assert "1 message sent though nonconforming:\n" in done.stderr
    assert f"  {file}:2: record_id is not a UUID (record_id_not_uuid); user_id begins or ends" in done.stderr
    many = "\n".join(message(n, record_id=None) for n in range(30))
    told = a3cp("produce", "-", stdin=many).stderr
    assert "30 messages sent though nonconforming:" in told
    assert "... and 10 more; the reasons:\n  30 x record_id_missing" in told
    told = a3cp.json("produce", str(file))
    assert (told["nonconforming"], told["nonconforming_reasons"]) == (1, {"record_id_not_uuid": 1, "user_id_blanks": 1})
    assert told["nonconforming_lines"][0]["number"] == 2
    a3cp.environ["A3CP_STRICT"] = "1"
    told = a3cp.json("produce", str(file), code=1)
    assert (told["sent"], told["bad"], told["nonconforming"]) == (1, 1, 0)
    assert "(user_id_blanks)" in told["bad_lines"][0]["why"]


def test_produce_reads_files_as_people_have_them(a3cp: Commands, tmp_path: Path) -> None:
    """Compressed, an array, pretty-printed, from a file or standard input; another form is refused once."""
    day = [json.loads(message(n)) for n in range(3)]
    (tmp_path / "day.gz").write_bytes(gzip.compress(json.dumps(day, indent=2).encode()))
    assert a3cp.json("produce", str(tmp_path / "day.gz"))["sent"] == 3
    assert a3cp.json("produce", "-", stdin="".join(json.dumps(one, indent=1) for one in day))["sent"] == 3
    (tmp_path / "day.csv").write_text("user_id,timestamp\nu,2025-06-15\n")
    done = a3cp("produce", str(tmp_path / "day.csv"), code=1)
    assert done.stderr.startswith(f"1 bad file, not sent:\n  {tmp_path / 'day.csv'}: the file is a table (CSV)")
    assert a3cp.json("produce", str(ROOT / "examples" / "session_manager_input_example.json"))["bad"] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="a file that opens and cannot be read is in Linux's /proc")
def test_a_file_that_cannot_be_read(a3cp: Commands, tmp_path: Path) -> None:
    """It does not stop the others; the summary is there, and what is wrong."""
    good = tmp_path / "good.jsonl"
    good.write_text(message(1))
    done = a3cp("produce", "/proc/self/mem", str(good), code=2)
    assert done.stdout.startswith("sent 1 to ")
    assert done.stderr == (
        "error: cannot read /proc/self/mem (Input/output error); what could be read was sent; "
        "name the others so that they can be read\n"
    )


def test_nothing_is_written_to_another_raw_topic(a3cp: Commands) -> None:
    """With A3CP_RAW_TOPIC set, all that sends refuses to, and what only reads does not."""
    a3cp.environ |= {"A3CP_RAW_TOPIC": f"{a3cp.environ['A3CP_TOPIC_PREFIX']}.raw"}
    for arguments in (
        ("produce", "-"),
        ("session", "start", "elias01"),
        ("dlq", "retry"),
        ("dlq", "retry", "--dry-run"),
    ):
        told = a3cp(*arguments, stdin=message(1), code=2).stderr
        assert told.startswith(
            f"error: A3CP_RAW_TOPIC is set, and nothing is written to {a3cp.environ['A3CP_RAW_TOPIC']}"
        )
    assert a3cp.json("dlq", "list")["count"] == 0


@pytest.mark.long
def test_a_bad_line_on_its_way_there_and_back(a3cp: Commands, processing: None) -> None:
    """Sent unchecked, set aside with a reason, listed, put back once, and known as failed again."""
    bad = '{"timestamp":"2025-06-15T12:34:56Z"}\n{"user_id":"u","frame_data":"AAAA"}\n'
    a3cp("produce", "--unchecked", "-", stdin=bad, code=1)

    def listed(count: int) -> Any:
        await_true(f"{count} letters", lambda: a3cp.json("dlq", "list", "--all")["count"] == count)
        return a3cp.json("dlq", "list", "--all")

    told = listed(2)
    assert {group["status"]: group["why"].split(";")[0] for group in told["groups"]} == {
        "waiting": "user_id is missing",
        "withheld": "timestamp is missing",
    }
    text = a3cp("dlq", "list").stdout
    assert "user_id is missing; send the user's pseudonym as user_id" in text
    assert a3cp.json("dlq", "list", "--why", "USER_ID")["count"] == 1
    assert a3cp.json("dlq", "list", "--stage", "decode")["count"] == 0
    assert "--stage cannot be never" in a3cp("dlq", "list", "--stage", "never", code=2).stderr

    assert a3cp("dlq", "retry", "--dry-run").stdout.startswith("1 would be put back")
    retried = a3cp("dlq", "retry").stdout
    assert retried.startswith("1 put back into ")
    assert "0 were before, 1 cannot be\n1 whose content (raw media" in retried
    assert listed(3)["groups"]
    again = a3cp.json("dlq", "retry")
    assert (again["retried"], again["left"]) == (0, {"withheld": 1, "retried": 1, "failed again": 1})
    assert a3cp.json("dlq", "retry", "--again")["retried"] == 1
    assert "2 were put back and are not shown" in a3cp("dlq", "list").stdout


def test_letters_that_raw_does_not_take(a3cp: Commands, kafka: str, topics: str) -> None:
    """They are told with the reason each time, are no failure, and take no place of `--limit`; the others go once."""
    producer = Producer({"bootstrap.servers": kafka, "message.max.bytes": 4 << 20, "enable.idempotence": True})
    for value, partition in ((b"x" * (3 << 19), b"1"), (b"1", b"1"), (b"2", b"9"), (b"3", b"1")):
        producer.produce(f"{topics}.dlq", value, None, 1, headers={"a3cp-dlq-partition": partition})
    assert producer.flush(60) == 0

    assert a3cp.json("dlq", "retry", "--dry-run", "--limit", "1")["letters"][0]["position"] == f"{topics}.dlq[1]@1"
    for retried, before in ((1, 0), (1, 1), (0, 2)):
        told = a3cp.json("dlq", "retry", "--limit", "1")
        assert (told["retried"], told["left"]["retried"]) == (retried, before)
        assert [letter["position"] for letter in told["refused"]] == [f"{topics}.dlq[1]@0", f"{topics}.dlq[1]@2"]
    text = a3cp("dlq", "retry").stdout
    assert text.startswith(f"0 put back into {topics}.raw, 2 were before, 2 cannot be")
    assert f"1 larger than {topics}.raw takes (1,048,576 bytes): {topics}.dlq[1]@0" in text
    assert f"1 of a partition that {topics}.raw does not have: {topics}.dlq[1]@2" in text


def test_no_broker(prefix: str) -> None:
    """Every command says the same, in one line; each takes ten seconds to be sure, so all are asked at once."""
    away = Commands("127.0.0.1:1", prefix)
    asked = (("produce", "-"), ("session", "end", "u"), ("dlq", "list"))
    with ThreadPoolExecutor(len(asked)) as threads:
        for done in threads.map(lambda arguments: away.alone(*arguments), asked):
            assert done.returncode == 1
            (line,) = done.stderr.splitlines()
            assert line.startswith("error: no Kafka broker answers at 127.0.0.1:1; ")


def test_a_state_is_printed(a3cp: Commands, processing: None) -> None:
    """What is committed of one user, as JSON for people and on one line; of others it says that there is nothing."""
    started = a3cp.json("session", "start", "elias01", "--template", "school")
    state = a3cp.json("state", "show", "elias01")
    assert state["current"]["session_id"] == started["session_id"]
    assert (state["current"]["template"], state["policy"]) == ("school", None)
    assert state["last_record"].endswith("@0")
    assert json.loads(a3cp("state", "show", "elias01").stdout) == state
    producer = Producer({"bootstrap.servers": a3cp.environ["KAFKA_BOOTSTRAP_SERVERS"]})
    for user, value in (("damaged", b"\xc1\x01?"), ("gone", b"?"), ("gone", None)):
        producer.produce(a3cp.environ["A3CP_TOPIC_PREFIX"] + ".state", value, user, partition_of(user.encode(), 4))
    assert producer.flush(60) == 0
    assert ": state of 3 bytes is damaged; replay" in a3cp("state", "show", "damaged", code=1).stderr
    assert "had a state of that user, which was deleted" in a3cp("state", "show", "gone", code=2).stderr
    refused = a3cp("state", "show", "nobody", code=2)
    assert "has no state of that user; check the id" in refused.stderr
