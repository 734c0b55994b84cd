"""Runs the demo: a broker, fresh topics, the day sent, the real processor killed once on the way, what came of it."""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Final, NamedTuple, Protocol, Self

from processor import broker
from processor.audit.report import AuditReport
from processor.broker import BrokerInfo
from processor.codec.codec import Codec
from processor.codec.isotime import wall_ms
from processor.core.model import HOUR_MS
from processor.demo.day import lifelike_day
from processor.demo.exported import Exported, export, mark, prefix_for, require_ours
from processor.demo.outcome import Check, DayOutcome, check, check_export, read_outcome
from processor.demo.report import Steps
from processor.demo.script import Sent
from processor.errors import BrokerUnavailable, Fatal, UsageError
from processor.kafka.deadletters.letter import read_letters
from processor.kafka.producer import RecordProducer
from processor.kafka.reading.reader import Reader
from processor.kafka.topics.admin import ensure_topics
from processor.kafka.topics.fresh import DEMO_PREFIX, demo_topics, remove_demo, require_demo_prefix
from processor.processes.parts import this_command
from processor.settings.documents import example_messages
from processor.settings.model import Settings
from processor.settings.sources import Option, load
from processor.wiring import audited, schemas

QUIET_MS: Final = 3_000  # By default the clock waits 10 s before it ends an idle session.
SESSION_TIMEOUT_MS: Final = 1_500  # of a dead worker, on the embedded broker, which allows so little
WAIT_S: Final = 60.0
STOP_S: Final = 15.0
_POLL_S: Final = 0.2
_LOG_TAIL_BYTES: Final = 3_000


class Demo(NamedTuple):
    """All there is to report."""

    settings: Settings
    broker: BrokerInfo | None  # the embedded one; None when another is used
    started_broker: bool
    sent: list[Sent]
    outcome: DayOutcome
    audited: AuditReport
    exported: Exported
    checks: list[Check]
    seconds: float


def run_demo(
    steps: Steps, *, prefix: str | None, files: list[Path], out: Path, replicas: int | None,
) -> Demo:  # fmt: skip
    """Run the demo and return what came of it.

    Args:
        steps: told what is being done.
        prefix: start of the topics' names, and the group; what has it is deleted first. None for the usual one, or one
            of the folder's own where that is another folder's.
        files: JSON lines to send besides.
        out: folder for the store and the bundles; what an earlier run left there is deleted.
        replicas: copies of each partition; None for what topics/ says.

    Raises:
        A3CPError: something is missing or goes wrong; the message says what to do.
    """
    began_s = time.monotonic()
    if prefix is not None:
        require_demo_prefix(prefix)
    require_ours(out)
    extra = [line for file in files for line in _lines(file)]
    environ = {**os.environ, "A3CP_QUIET_MS": str(QUIET_MS)}
    settings = _settings(environ, prefix or DEMO_PREFIX)
    info = None
    started = False
    if not settings.kafka_conf().get("bootstrap.servers"):
        started = broker.status() is None
        info = _broker_up(steps)
        environ |= {"KAFKA_BOOTSTRAP_SERVERS": info.bootstrap}
        environ.setdefault("A3CP_SESSION_TIMEOUT_MS", str(SESSION_TIMEOUT_MS))
        settings = _settings(environ, prefix or DEMO_PREFIX)
    conf = settings.kafka_conf()
    where = f"embedded, at {info.bootstrap}" if info else conf["bootstrap.servers"]
    steps.done("Kafka", f"{where}{', started' if started else ', was running' if info else ''}")

    if prefix is None:
        prefix = prefix_for(out, conf)
        settings = _settings(environ, prefix)
    environ |= {"A3CP_TOPIC_PREFIX": prefix, "A3CP_GROUP_ID": prefix}
    again = remove_demo(conf, prefix, settings.group_id)
    made = ensure_topics(conf, prefix, replicas=replicas)
    mark(out, demo_topics(conf, prefix))
    names = ", ".join([settings.topics().raw, *(f".{topic}" for topic in settings.topics()._fields[1:])])
    steps.done("Topics", f"{names}, {made[0].desired.split(', ')[0]} each{', made anew' if again else ''}")

    producer = RecordProducer(conf, settings.topics().raw)
    known = schemas(settings)
    sent = lifelike_day(wall_ms(), known, producer.partitions, settings.session_id_format)
    sent += [_as_it_is(line) for line in (*example_messages(), *extra)]
    codec = Codec(known)
    log: IO[bytes]
    with tempfile.TemporaryFile() as log, _Readers(settings, codec) as readers:
        outcome = _process(steps, settings, environ=environ, producer=producer, sent=sent, readers=readers, log=log)
    report = audited(settings)
    exported = export(out, environ)
    steps.done("Export", f"{exported.bundles} bundles, each verified: {exported.root}")
    checks = [*check(sent, outcome, report, settings.topics()), check_export(outcome, exported)]
    return Demo(settings, info, started, sent, outcome, report, exported, checks, time.monotonic() - began_s)


def _settings(environ: Mapping[str, str], prefix: str) -> Settings:
    named = Option("--prefix", prefix)
    return load(environ, Path.cwd(), {"topic_prefix": named, "group_id": named}).settings


def _process(
    steps: Steps, settings: Settings, *, environ: Mapping[str, str], producer: RecordProducer, sent: list[Sent],
    readers: "_Readers", log: IO[bytes],
) -> DayOutcome:  # fmt: skip
    """Send the day in two halves; between them the processor is killed, and a new one takes over."""
    half, total = len(sent) // 2, len(sent)

    def answered() -> int:
        return readers.read().answered

    def ended() -> int:
        outcome = readers.read()
        return outcome.started - len(outcome.open_sessions())

    with _Processor(environ, log) as first:
        _send(producer, sent[:1])  # Once this one is through, the processor is up.
        await_enough(steps, "waiting for the processor", first, 1, answered)
        steps.done("Processor", "a3cp process, ready")
        _send(producer, sent[1:half])
        await_enough(steps, "tagging", first, half // 2, answered)
        first.kill()
    steps.done("Messages", f"{half} of {total} sent; then the processor is killed (kill -9) at work")
    with _Processor(environ, log) as second:
        _send(producer, sent[half:])
        steps.done("Messages", f"{total - half} more are sent, while a new processor takes over")
        await_enough(steps, "tagging", second, total, answered)
        steps.done("Processed", f"{total} of {total}: nothing is waiting any more")
        await_enough(steps, "idle sessions are ended", second, _ended_by_now(readers.read(), settings), ended)
        second.stop()
    outcome = readers.read()
    steps.done("Sessions", f"{outcome.started} started, those of silent users ended; the processor is stopped")
    return outcome


def _ended_by_now(outcome: DayOutcome, settings: Settings) -> int:
    """Return how many sessions have ended or are due to end because their user has long been silent."""
    # Only the newest session of a user may be open, and then only one whose silence is shorter than any gap in use.
    now_ms = wall_ms()
    longest_ms = max(settings.gap_ms, HOUR_MS)
    return outcome.started - sum(now_ms - last_ms <= longest_ms for last_ms in outcome.open_sessions().values())


def _broker_up(steps: Steps) -> BrokerInfo:
    told = 0
    with steps.bar("fetching Kafka, once") as show:

        def progress(done: int, total: int) -> None:
            nonlocal told
            show(done, total)
            quarter = 4 * done // total if total else 0
            if quarter > told and not steps.console.is_terminal:
                steps.say(f"fetching Kafka, once: {done >> 20} of {total >> 20} MiB")
            told = max(told, quarter)

        return broker.up(say=steps.say, progress=progress)


def _send(producer: RecordProducer, records: list[Sent]) -> None:
    for record in records:
        producer.send(record.value, record.key, partition=record.partition)
    producer.flush()


def await_enough(steps: Steps, what: str, running: "Running", enough: int, count: Callable[[], int]) -> None:
    """Wait until `count` says `enough`.

    Raises:
        Fatal: the processor ended, or it takes too long.
        BrokerUnavailable: no broker answers for so long.
    """
    deadline_s = time.monotonic() + WAIT_S
    found = 0
    with steps.bar(what) as show:
        while True:
            is_last = time.monotonic() > deadline_s
            try:
                found = count()
            except BrokerUnavailable:  # On a machine that does much else it may be silent for a while.
                if is_last:
                    raise
            if found >= enough:
                return
            show(found, enough)
            running.require_alive()
            if is_last:
                raise Fatal(
                    f"only {found} of {enough} ({what}) were there after {WAIT_S:.0f} s",
                    remedy=f"the processor's last words: {running.last_words()}",
                )
            time.sleep(_POLL_S)


class Running(Protocol):
    """What is waited for."""

    def require_alive(self) -> None: ...
    def last_words(self) -> str: ...


class _Readers:
    """Reads the outputs from their beginning, as often as asked; a day is small."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        conf, topics = settings.kafka_conf(), settings.topics()
        self._codec = codec
        self._readers = [Reader(conf, topic) for topic in (topics.tagged, topics.sessions, topics.dlq)]

    def read(self) -> DayOutcome:
        tagged, sessions, dead = self._readers
        return read_outcome(self._codec, tagged.read_all(), sessions.read_all(), read_letters(dead))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for reader in self._readers:
            reader.close()


class _Processor:
    """`a3cp process` in a process of its own; leaving the context leaves none behind."""

    def __init__(self, environ: Mapping[str, str], log: IO[bytes]) -> None:
        ours = {"A3CP_METRICS_PORT": "0", "A3CP_WORKERS": "1", "A3CP_LOG_FORMAT": "json", "A3CP_LOG_LEVEL": "info"}
        self._log = log
        self._process = subprocess.Popen(  # noqa: S603  # The command is our own.
            this_command("process"), env={**environ, **ours}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )

    def require_alive(self) -> None:
        if (code := self._process.poll()) is not None:
            raise Fatal(
                f"the processor ended with code {code}", remedy=f"its last words: {self.last_words()}"
            )  # fmt: skip

    def last_words(self) -> str:
        end = os.fstat(self._log.fileno()).st_size
        tail = os.pread(self._log.fileno(), _LOG_TAIL_BYTES, max(0, end - _LOG_TAIL_BYTES))
        lines = tail.decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "none"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Let it end as SIGTERM makes it.

        Raises:
            Fatal: it ended otherwise, or not at all.
        """
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            code = None
        if code != 0:
            raise Fatal(
                f"the processor did not stop cleanly (code {code})", remedy=f"its last words: {self.last_words()}"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.kill()


def _lines(file: Path) -> list[bytes]:
    try:
        return [line for line in file.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror})", remedy="name a file of JSON lines") from None


def _as_it_is(line: bytes) -> Sent:
    """Return a line of a file as a record; a message in a wrapper that names its module is taken out of it."""
    key = command_id = None
    module = "?"
    try:
        fields = json.loads(line)
        inner = fields.get("message")
        if isinstance(inner, dict) and "direction" in fields:
            module = str(fields.get("module", module))
            fields, line = inner, json.dumps(inner, ensure_ascii=False).encode()
        module = str(fields.get("source") or fields.get("source_module") or module)
        if isinstance(fields.get("user_id"), str):
            key = fields["user_id"].encode()
        if "command" in fields and key is not None:
            command_id = str(fields.get("record_id", ""))
    except (ValueError, AttributeError, RecursionError):
        pass  # It goes to the processor as it is.
    return Sent(0, line, key, None, module, command_id)
