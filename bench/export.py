"""The export: tagged messages and session events in, a store and bundles out."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from shutil import rmtree
from typing import Any, Final

import psutil

from bench.cluster import OURS
from bench.context import Context, step
from bench.launched import Launched
from bench.live import await_records
from bench.machine import Others
from bench.messages import START_MS, encode_ours, message
from bench.report import Section, Target, number
from bench.scale import GAP_MS
from bench.systems import OURS_LIVE
from processor.processes.parts import this_command

_LENGTH_MS: Final = 90 * 60_000  # of a session, at most: far from the longest allowed
_QUIET_MS: Final = 1_000  # how soon the clock ends sessions once all is tagged
_LIMIT_S: Final = 900.0
_RATE_MIN: Final = 20_000.0
_MEMORY_MAX_MIB: Final = 512.0
_ONE_SESSION: Final = 0.2  # of the messages are in the one long session
_POLL_S: Final = 0.1
_FOLDER: Final = "export"


@dataclass(frozen=True, slots=True)
class Job:
    """What is exported: sessions of equal length, side by side."""

    messages: int
    sessions: int


def _messages(job: Job) -> Iterator[dict[str, Any]]:
    """Yield messages of as many users as sessions, in random order; nobody is silent for as long as a session's gap."""
    rng = random.Random(7)
    users = [f"user{user:07d}" for user in range(job.sessions) for _ in range(job.messages // job.sessions)]
    rng.shuffle(users)
    step_ms = min(20_000, 2 * _LENGTH_MS * job.sessions // job.messages)
    last_ms: dict[str, int] = {}
    for user_id in users:
        last_ms[user_id] = last_ms.get(user_id, START_MS) + rng.randrange(step_ms // 10, step_ms)
        yield message(rng, user_id, last_ms[user_id])


def prepare(context: Context, job: Job) -> None:
    """Fill the output topics: the processor tags the messages, and ends the sessions by the clock."""
    context.cluster.fresh_ours(keep_raw=False)
    with step(f"loading {job.messages:,} messages of {job.sessions:,} sessions"):
        context.cluster.load((f"{OURS}.raw", one["user_id"], encode_ours(one), None) for one in _messages(job))
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": context.cluster.bootstrap,
        "A3CP_TOPIC_PREFIX": OURS,
        "A3CP_GROUP_ID": f"export-{time.time_ns()}",
        "A3CP_GAP_MS": str(GAP_MS),
        "A3CP_QUIET_MS": str(_QUIET_MS),
        "A3CP_LOG_FORMAT": "json",
    }
    with step("tagging them"), Launched(this_command("process"), environ, context.folder / "export-process.log") as run:
        await_records(context, OURS_LIVE.tagged, job.messages, run, _LIMIT_S)
        await_records(context, f"{OURS}.sessions", 2 * job.sessions, run, _LIMIT_S)


def one(context: Context, job: Job, *, bundles: bool) -> dict[str, Any]:
    """Export all of it into a new store, and bundles below a new folder."""
    folder = context.folder / _FOLDER / f"{time.time_ns()}"
    folder.mkdir(parents=True)
    command = [*this_command("export"), "--json", f"--store=sqlite:///{folder / 'store.db'}", f"--prefix={OURS}"]
    if bundles:
        command.append(f"--to={folder / 'bundles'}")
    others = Others()
    launched = Launched(command, {"KAFKA_BOOTSTRAP_SERVERS": context.cluster.bootstrap}, folder / "log")
    cpu_s = peak_mib = 0.0
    with launched:
        while launched.running():
            try:
                cpu_s = max(cpu_s, launched.cpu_s())
                peak_mib = max(peak_mib, launched.pss_mib())
            except psutil.Error:  # It has just ended.
                pass
            time.sleep(_POLL_S)
        seconds = time.monotonic() - launched.started_s
    told = launched.tail()
    if f'"complete": {job.sessions}' not in told:
        raise RuntimeError(f"not all sessions were exported whole:\n{told}")
    files = [file for file in folder.rglob("*") if file.is_file()]
    size_mb = sum(file.stat().st_size for file in files) / 1e6
    return {
        "what": "store and bundles" if bundles else "store",
        "messages": job.messages,
        "sessions": job.sessions,
        "msg_s": job.messages / seconds,
        "seconds": round(seconds, 1),
        "cpu_us": cpu_s / job.messages * 1e6,
        "peak_mib": round(peak_mib),
        "written_mb": round(size_mb),
        "others_cores": others.cores(),
    }


def measure(context: Context) -> Section:
    """Measure the export of many sessions, of a quarter of them, and of a single long one."""
    scale = context.scale
    whole = Job(scale.export_messages, scale.export_sessions)
    quarter = Job(whole.messages // 4, whole.sessions // 4)
    long = Job(int(whole.messages * _ONE_SESSION), 1)
    section = Section(
        "export",
        "Export",
        "`a3cp export --to` from its start to its end, cold: from the topics into a new SQLite file, then a bundle of "
        "every session in all formats, on the same disk as the broker. Sessions lie side by side in the topics, their "
        f"messages mixed at random, {whole.messages // whole.sessions} each. CPU and memory are those of the whole "
        "process tree, memory (what processes share counted once) as seen every 0.1 s. One run each.",
        ("messages", "sessions", "what", "msg/s", "s", "CPU µs/msg", "peak MiB", "written MB"),
    )
    rates: dict[tuple[Job, bool], float] = {}
    for job, kinds in ((quarter, (True,)), (long, (True,)), (whole, (False, True))):
        prepare(context, job)
        for bundles in kinds:
            name = f"export of {job.messages:,} in {job.sessions:,}"
            run = context.quietly(name, partial(one, context, job, bundles=bundles))
            section.runs.append(run)
            rates[job, bundles] = run["msg_s"]
            section.rows.append(
                (
                    f"{job.messages:,}",
                    f"{job.sessions:,}",
                    run["what"],
                    number(run["msg_s"]),
                    number(run["seconds"], 1),
                    number(run["cpu_us"], 1),
                    number(run["peak_mib"]),
                    number(run["written_mb"]),
                )
            )
    rate, share = rates[whole, True], rates[whole, True] / rates[quarter, True]
    memory_mib = max(run["peak_mib"] for run in section.runs)
    section.targets += [
        Target(f"≥ {_RATE_MIN:,.0f} messages/s to store and bundles", f"{rate:,.0f}", rate >= _RATE_MIN),
        Target("grows linearly: four times as much at no less than 0.8 of the rate", f"{share:.2f}", share >= 0.8),
        Target(f"memory ≤ {_MEMORY_MAX_MIB:.0f} MiB", f"{memory_mib} MiB", memory_mib <= _MEMORY_MAX_MIB),
    ]
    context.cluster.fresh_ours(keep_raw=False)
    rmtree(context.folder / _FOLDER)  # Not between the runs: ext4 looks at each inode that was freed shortly before.
    return section
