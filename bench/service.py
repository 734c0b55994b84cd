"""The service under load: validate, reads, commands, live streams. The load is an open loop, so p99 is honest."""

import asyncio
import base64
import json
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx

from a3cp_sessions import Sessions
from a3cp_sessions.conversation import SessionManager
from bench.cluster import OURS
from bench.context import Context
from bench.latency import quantiles
from bench.launched import Launched
from bench.live import drive
from bench.report import Section, Target, middle, number
from bench.systems import OURS_LIVE
from processor.broker.places import cache_dir
from processor.processes.parts import this_command

_VEGETA: Final = "github.com/tsenart/vegeta/v12@v12.13.0"
_SESSIONS: Final = 200
_VALIDATE_RATE: Final = 1_000
_READ_RATE: Final = 500
_COMMAND_RATE: Final = 200
_SAY_RATE: Final = 50
_SAID: Final = 40  # messages of each conversation
_HISTORIES: Final = 5_000
_READY_S: Final = 60.0
_STREAMS: Final = 1_000
_EVENTS: Final = 20
_VALIDATE_P99_MS: Final = 5.0
_READ_P99_MS: Final = 10.0
_IN_PROCESS_P99_MS: Final = 2.0
_TO_TAGGED_MAX: Final = 1.5
_STREAM_MS: Final = 200.0


def measure(context: Context) -> Section:
    """Measure the service beside a worker, and the way of a message to its tag in the same run."""
    scale = context.scale
    section = Section(
        "service",
        "The service",
        f"`a3cp serve` and one worker, on one machine with Kafka; vegeta sends at a fixed rate for "
        f"{scale.measure_s:.0f} s, whatever the answers take. validate: {_VALIDATE_RATE}/s; session: GET of one, "
        f"{_READ_RATE}/s; history: GET of the last 20 messages of a conversation, {_READ_RATE}/s, while {_SAY_RATE} "
        f"messages a second come to them; in process: `get_history` over `memory://`, {_HISTORIES:,} times, with a "
        f"message before every tenth; start: {_COMMAND_RATE}/s of new users, answered with the outcome; tagged: "
        f"{_COMMAND_RATE} "
        "messages a second beside the starts, from produce() to a read_committed consumer. Streams: "
        f"{_STREAMS:,} live streams of one session, {_EVENTS} notes; from a note's request to its arrival at the "
        f"last of them. Median of {scale.runs} runs, ms.",
        ("what", "p50", "p90", "p99", "max", "CPU of the service, µs a request", "not answered well"),
    )
    try:
        vegeta = _vegeta()
    except (OSError, subprocess.SubprocessError) as error:
        section.notes.append(f"not run: vegeta is not there and could not be made ({type(error).__name__})")
        return section
    runs = [context.quietly("service", lambda: one(context, vegeta)) for _ in range(scale.runs)]
    section.runs = [{"run": index, **run} for index, run in enumerate(runs)]
    medians = {}
    for what in ("validate", "session", "history", "history, in process", "start", "tagged", "streams"):
        its = [run[what] for run in runs]
        row = medians[what] = {name: middle(its, name) for name in ("p50_ms", "p90_ms", "p99_ms", "max_ms")}
        cpu, bad = number(middle(its, "cpu_us")), str(sum(run["bad"] for run in its))
        section.rows.append((what, *(number(value, 1) for value in row.values()), cpu, bad))
    _judge(section, medians)
    return section


def _judge(section: Section, medians: dict[str, Any]) -> None:
    for what, limit_ms in (
        ("validate", _VALIDATE_P99_MS),
        ("session", _READ_P99_MS),
        ("history", _READ_P99_MS),
        ("history, in process", _IN_PROCESS_P99_MS),
    ):
        p99_ms = medians[what]["p99_ms"]
        section.targets.append(Target(f"{what}: p99 ≤ {limit_ms:.0f} ms", f"{p99_ms:.1f} ms", p99_ms <= limit_ms))
    shares = [medians["start"][name] / medians["tagged"][name] for name in ("p50_ms", "p99_ms")]
    section.targets.append(
        Target(
            f"start: p50 and p99 ≤ {_TO_TAGGED_MAX} × those of a message to its tag",
            f"{shares[0]:.2f} and {shares[1]:.2f}",
            max(shares) <= _TO_TAGGED_MAX,
        )
    )
    last_ms = medians["streams"]["max_ms"]
    section.targets.append(
        Target(f"a note at all streams within {_STREAM_MS:.0f} ms", f"{last_ms:.0f} ms", last_ms <= _STREAM_MS)
    )


def one(context: Context, vegeta: str) -> dict[str, Any]:
    """Start worker and service, make sessions, and measure one after the other."""
    OURS_LIVE.fresh(context.cluster, keep_raw=False)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": context.cluster.bootstrap,
        "A3CP_TOPIC_PREFIX": OURS,
        "A3CP_STORE_URL": f"sqlite:///{context.folder}/service.db",
        "A3CP_SERVE_REQUESTS_PER_S_MAX": "0",
    }
    command = [*this_command("serve"), "--port", str(port)]
    with (
        OURS_LIVE.start(context.cluster, context.folder) as worker,
        Launched(command, environ, context.folder / f"serve-{uuid.uuid4().hex[:4]}.log") as serve,
    ):
        await_ready(base, serve)
        with httpx.Client(base_url=base, timeout=60.0) as client:
            sessions = [_start(client, f"reader{index}") for index in range(_SESSIONS)]
            conversations = [_converse(client, f"speaker{index}") for index in range(_SESSIONS)]
        attack = _Attack(vegeta, context.folder, context.scale.measure_s, serve.cpu_s)
        validates = [_request(base, "/session_manager/sessions.validate", **each) for each in sessions]
        reads = [{"method": "GET", "url": f"{base}/v1/sessions/{each['session_id']}"} for each in sessions]
        results = {
            "validate": attack(validates, _VALIDATE_RATE),
            "session": attack(reads, _READ_RATE),
        }
        saying = attack.begin([_request(base, path, **_SAYING) for path in conversations], _SAY_RATE)
        histories = [{"method": "GET", "url": f"{base}{path}?limit=20"} for path in conversations]
        results["history"] = attack(histories, _READ_RATE)
        results["history"]["bad"] += attack.end(saying)["bad"]
        results["history, in process"] = in_process()
        trips: list[float] = []
        attack(_starts(base, "warm"), _COMMAND_RATE)
        sending = attack.begin(_starts(base, "starter"), _COMMAND_RATE)
        for trip in drive(context, OURS_LIVE, rate=_COMMAND_RATE, seconds=context.scale.measure_s):
            trips += [] if trip.arrived_s is None else [(trip.arrived_s - trip.sent_s) * 1e3]
        results["start"] = attack.end(sending)
        results["tagged"] = {**quantiles(trips), "bad": 0}
        results["streams"] = asyncio.run(_streams(base, sessions[0]["session_id"]))
        worker.require_running()
        serve.require_running()
        results["rss_mib"] = {"serve": serve.rss_mib()}
    return results


def in_process() -> dict[str, Any]:
    """Read conversations that go on, with a service in this process; return how long each read took."""
    taken_ms: list[float] = []
    with Sessions("memory://") as sessions:
        manager = SessionManager(sessions)
        ids = [manager.create_session() for _ in range(10)]
        for number in range(_SAID * len(ids)):
            manager.add_message(ids[number % len(ids)], "user", _SAYING["content"])
        for number in range(_HISTORIES):
            session_id = ids[number // 10 % len(ids)]
            if number % 10 == 0:
                manager.add_message(session_id, "user", _SAYING["content"])
            at_s = time.perf_counter()
            manager.get_history(session_id)
            taken_ms.append((time.perf_counter() - at_s) * 1e3)
    return {**quantiles(taken_ms), "bad": 0}


def await_ready(base: str, serve: Launched) -> None:
    """Wait until the service at `base` is ready."""
    until_s = time.monotonic() + _READY_S
    while True:
        serve.require_running()
        try:
            if httpx.get(f"{base}/readyz").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > until_s:
            raise RuntimeError(f"it is not ready:\n{serve.tail()}")
        time.sleep(0.1)


def _start(client: httpx.Client, user_id: str) -> dict[str, str]:
    answer = client.post("/session_manager/sessions.start", json=_start_body(user_id)).raise_for_status().json()
    return {"user_id": user_id, "session_id": answer["session_id"]}


def _converse(client: httpx.Client, user_id: str) -> str:
    """Begin a conversation with some messages, and read it once; return the path of its messages."""
    begun = client.post("/v1/sessions", json={"user_id": user_id, "template": "conversation"}).raise_for_status()
    path = f"/v1/sessions/{begun.json()['session_id']}/messages"
    lines = f"{json.dumps(_SAYING)}\n" * _SAID
    headers = {"Content-Type": "application/x-ndjson", "Prefer": "wait=60"}
    client.post(path, content=lines, headers=headers).raise_for_status()
    client.get(path).raise_for_status()
    return path


def _start_body(user_id: str) -> dict[str, str]:
    return {
        "schema_version": "1.0.1",
        "record_id": str(uuid.uuid4()),
        "user_id": user_id,
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
        "performer_id": "system",
    }


def _request(base: str, path: str, **body: str) -> dict[str, Any]:
    text = json.dumps(body).encode()
    header = {"Content-Type": ["application/json"]}
    return {"method": "POST", "url": base + path, "header": header, "body": base64.b64encode(text).decode()}


def _starts(base: str, name: str) -> Iterator[dict[str, Any]]:
    """Yield starts of users who are new, without end."""
    run = uuid.uuid4().hex[:6]
    number_of_user = 0
    while True:
        yield _request(base, "/session_manager/sessions.start", **_start_body(f"{name}-{run}-{number_of_user}"))
        number_of_user += 1


class _Attack:
    """Sends requests at a fixed rate with vegeta."""

    def __init__(self, vegeta: str, folder: Path, seconds: float, cpu_s: Callable[[], float]) -> None:
        self._vegeta = vegeta
        self._folder = folder
        self._seconds = seconds
        self._cpu_s = cpu_s  # what the service has used so far

    def __call__(self, targets: Iterable[dict[str, Any]], rate: int) -> dict[str, Any]:
        """Send `targets` again and again; return the percentiles of the answers, and how many were no success."""
        return self.end(self.begin(targets, rate))

    def begin(self, targets: Iterable[dict[str, Any]], rate: int) -> tuple[subprocess.Popen[bytes], Path, float]:
        """Begin to send; what is sent once lasts for the whole attack."""
        name = uuid.uuid4().hex[:8]
        file, out = self._folder / f"{name}.targets", self._folder / f"{name}.bin"
        count = int(rate * self._seconds) + rate
        with file.open("w") as lines:
            for _, target in zip(range(count), targets, strict=False):
                lines.write(json.dumps(target) + "\n")
        arguments = [f"-rate={rate}", f"-duration={self._seconds}s", f"-targets={file}", f"-output={out}"]
        command = [self._vegeta, "attack", "-format=json", "-timeout=60s", "-max-connections=1000", *arguments]
        return subprocess.Popen(command), out, self._cpu_s()

    def end(self, sending: tuple[subprocess.Popen[bytes], Path, float]) -> dict[str, Any]:
        """Wait for the last answer and return what came of all."""
        attack, out, cpu_before_s = sending
        if attack.wait(self._seconds + 120):
            raise RuntimeError("vegeta failed")
        cpu_s = self._cpu_s() - cpu_before_s
        report = json.loads(subprocess.check_output([self._vegeta, "report", "-type=json", str(out)]))
        answered = {code: count for code, count in report["status_codes"].items() if code.startswith("2")}
        latencies = {name: report["latencies"][key] / 1e6 for name, key in _NAMES}
        bad = report["requests"] - sum(answered.values())
        return {**latencies, "bad": bad, "rate": report["rate"], "cpu_us": cpu_s / report["requests"] * 1e6}


_SAYING: Final = {"source": "conversation", "role": "user", "content": "What does erf size mean? " * 4}
_NAMES: Final = (("p50_ms", "50th"), ("p90_ms", "90th"), ("p99_ms", "99th"), ("max_ms", "max"))


async def _streams(base: str, session_id: str) -> dict[str, Any]:
    """Open live streams of a session, add notes, and return how long each took from its request to the last stream."""
    host, port = base.removeprefix("http://").split(":")
    head = f"GET /v1/sessions/{session_id}/live HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
    notes: list[tuple[float, bytes]] = []
    opened = asyncio.Semaphore(0)

    async def read() -> None:
        stream, sending = await asyncio.open_connection(host, port)
        sending.write(head)
        while line := await stream.readline():  # By hand: a client library would take as long as the service.
            if line.startswith(b"id:"):
                opened.release()
            elif line.startswith(b"data:") and b'"note"' in line:
                notes.append((time.monotonic(), line))

    async with httpx.AsyncClient(base_url=base, timeout=60.0) as client, asyncio.TaskGroup() as group:
        readers = [group.create_task(read()) for _ in range(_STREAMS)]
        async with asyncio.timeout(_READY_S):
            for _ in readers:
                await opened.acquire()
        sent: dict[str, float] = {}
        for index in range(_EVENTS):
            at_s = time.monotonic()
            answer = await client.post(f"/v1/sessions/{session_id}/notes", json={"text": f"note {index}"})
            sent[answer.raise_for_status().json()["command_record_id"]] = at_s
            await asyncio.sleep(0.5)
        for reader in readers:
            reader.cancel()
    arrivals: dict[str, list[float]] = {name: [] for name in sent}
    for at_s, line in notes:
        arrivals[json.loads(line[5:])["command_record_id"]].append(at_s)
    missing = sum(_STREAMS - len(times) for times in arrivals.values())
    last_ms = [(max(times) - sent[name]) * 1e3 for name, times in arrivals.items() if times]
    return {**quantiles(last_ms), "bad": missing}


def _vegeta() -> str:
    """Return the load tool; made from its source when Go is there and it is not."""
    if found := shutil.which("vegeta"):
        return found
    folder = cache_dir() / "vegeta"
    program = folder / "bin" / "vegeta"
    if not program.exists():
        subprocess.run(["go", "install", _VEGETA], env={**os.environ, "GOPATH": str(folder)}, check=True)
    return str(program)
