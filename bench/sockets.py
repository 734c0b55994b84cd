"""Sockets of one service, each of which says something every second: how long until the log has it, and its number."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from bench.cluster import OURS
from bench.context import Context
from bench.latency import quantiles
from bench.launched import Launched
from bench.report import Section, Target, middle, number
from bench.service import await_ready
from bench.systems import OURS_LIVE
from processor.processes.parts import this_command

_RATE: Final = 1.0  # messages a second of each socket
_ROOT: Final = Path(__file__).parent.parent


def measure(context: Context) -> Section:
    """Measure sockets beside Kafka and one worker."""
    scale = context.scale
    section = Section(
        "sockets",
        "Sockets",
        f"`a3cp serve` in one process and one worker, on one machine with Kafka and the load. {scale.sockets:,} "
        f"sockets, each of a user of its own, say {_RATE:g} message a second for {scale.measure_s:.0f} s. Ack: from a "
        "frame's sending to the acknowledgement that the log has it; tagged: to the frame with its number in the "
        f"session, through the log twice. `a3cp audit` at the end. Median of {scale.runs} runs, ms.",
        ("what", "p50", "p90", "p99", "max", "lost"),
    )
    runs = [context.quietly("sockets", lambda: one(context)) for _ in range(scale.runs)]
    section.runs = runs
    for what in ("ack", "tagged"):
        its = [run[what] for run in runs]
        row = [middle(its, name) for name in ("p50_ms", "p90_ms", "p99_ms", "max_ms")]
        section.rows.append((what, *(number(value, 1) for value in row), str(sum(run[f"{what}_lost"] for run in runs))))
    kib, cpu_us = middle(runs, "kib_a_socket"), middle(runs, "cpu_us_a_message")
    section.notes.append(
        f"memory of the service: {number(kib, 1)} KiB a socket; CPU time of the service: {number(cpu_us)} µs a message"
    )
    wrong = [run["audit"] for run in runs if run["problems"]]
    lost = sum(run["ack_lost"] + run["tagged_lost"] + run["errors"] + run["doubled"] for run in runs)
    is_right = not wrong and not lost
    text = "nothing" if is_right else f"{lost} lost, doubled or refused; {'; '.join(wrong)}"
    section.targets.append(Target("nothing lost or doubled, by a3cp audit", text, is_right))
    return section


def one(context: Context) -> dict[str, Any]:
    """Start worker and service, let sockets talk, and prove that each message is there once."""
    scale = context.scale
    OURS_LIVE.fresh(context.cluster, keep_raw=False)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": context.cluster.bootstrap,
        "A3CP_TOPIC_PREFIX": OURS,
        "A3CP_STORE_URL": f"sqlite:///{context.folder}/sockets.db",
    }
    command = [*this_command("serve"), "--port", str(port)]
    with (
        OURS_LIVE.start(context.cluster, context.folder) as worker,
        Launched(command, environ, context.folder / "serve-sockets.log") as serve,
    ):
        await_ready(f"http://127.0.0.1:{port}", serve)
        rss_mib = serve.rss_mib()
        talkers = subprocess.Popen(
            [
                sys.executable, "-m", "bench.talkers", f"--port={port}", f"--sockets={scale.sockets}",
                f"--rate={_RATE}", f"--seconds={scale.measure_s}",
            ],
            cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert talkers.stdin is not None
        assert talkers.stdout is not None
        _await(talkers, "opened")
        kib_a_socket = (serve.rss_mib() - rss_mib) * 1024 / scale.sockets
        cpu_s = serve.cpu_s()
        talkers.stdin.write("go\n")
        talkers.stdin.flush()
        _await(talkers, "said")
        cpu_s = serve.cpu_s() - cpu_s
        done = json.loads(talkers.communicate("go\n", timeout=120)[0])
        worker.require_running()
        serve.require_running()
        audit = _audit(environ)
    return {
        "sockets": scale.sockets,
        "ack": quantiles(done["trips"]["ack"]),
        "tagged": quantiles(done["trips"]["tagged"]),
        "ack_lost": done["said"] - done["acked"],
        "tagged_lost": done["said"] - done["tagged"],
        "doubled": audit["tagged"] - done["said"],
        "errors": done["errors"],
        "slowed": done["slowed"],
        "opened_s": done["opened_s"],
        "messages_a_s": done["said"] / done["said_s"],
        "kib_a_socket": kib_a_socket,
        "cpu_us_a_message": cpu_s / done["said"] * 1e6,
        "load_cpu_us_a_message": done["cpu_s"] / done["said"] * 1e6,
        "problems": audit["problems"],
        "audit": audit["text"],
    }


def _await(talkers: "subprocess.Popen[str]", word: str) -> None:
    assert talkers.stdout is not None
    line = talkers.stdout.readline().strip()
    if line != word:
        raise RuntimeError(f"the load failed: it said {line!r}, not {word!r}")


def _audit(environ: dict[str, str]) -> dict[str, Any]:
    """Return what `a3cp audit` says, and how many messages are tagged."""
    command = [*this_command("audit"), "--json"]
    done = subprocess.run(command, env={**os.environ, **environ}, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)
    return {"problems": done.returncode, "tagged": told["tagged"], "text": f"audit: exit code {done.returncode}"}
