"""The command line of the benchmark."""

import argparse
import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench import (
    commands,
    drain,
    export,
    finding,
    kstreams,
    latency,
    machine,
    memory,
    million,
    parts,
    pure,
    restore,
    service,
    sizing,
    sockets,
    takeover,
    view,
    workers,
)
from bench.cluster import Cluster
from bench.context import Context
from bench.report import Section, replace_measured, text_of, write
from bench.scale import FULL, QUICK, Scale
from processor import broker
from processor.broker.jars import KAFKA_VERSION

BROKER_HEAP = "1g"
LINES: dict[str, Callable[[Context], Section]] = {
    "drain": drain.measure,
    "latency": latency.measure,
    "pure": pure.measure,
    "memory": memory.measure,
    "restore": restore.measure,
    "million": million.measure,
    "workers": workers.measure,
    "takeover": takeover.measure,
    "parts": parts.measure,
    "export": export.measure,
    "commands": commands.measure,
    "service": service.measure,
    "sockets": sockets.measure,
    "view": view.measure,
    "finding": finding.measure,
    "sizing": sizing.measure,
}
PEERS = ("bare", "kstreams")


def main() -> int:
    """Measure what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("lines", nargs="*", metavar="LINE", help=f"what to measure: {', '.join(LINES)}; all by default")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, within a minute: shows that it works, not how fast it is"
    )
    parser.add_argument(
        "--peers", help=f"comma-separated: {', '.join(PEERS)}, or none; all by default, bare with --quick"
    )
    parser.add_argument("--runs", type=int, help="runs of each system, the median counts")
    parser.add_argument("--messages", type=int, help="messages of the drain")
    parser.add_argument("--users", type=int, help="users of the drain")
    parser.add_argument("--no-wait", action="store_true", help="measure at once, however busy the machine is")
    parser.add_argument("--doc", type=Path, help="a Markdown file whose measured part is to be replaced by this run")
    parser.add_argument("--out", type=Path, default=Path("bench/out"), help="folder for the results as JSON")
    options = parser.parse_args()
    if unknown := set(options.lines) - LINES.keys():
        parser.error(f"no line {', '.join(sorted(unknown))}; there are {', '.join(LINES)}")
    peers = {"bare"} if options.quick else set(PEERS)
    if options.peers is not None:
        peers = {name for name in options.peers.split(",") if name not in ("", "none")}
        if peers - set(PEERS):
            parser.error(f"no peer {', '.join(sorted(peers - set(PEERS)))}; there are {', '.join(PEERS)}")
    changes = {key: getattr(options, key) for key in ("runs", "messages", "users") if getattr(options, key)}
    scale = dataclasses.replace(QUICK if options.quick else FULL, **changes)
    if options.no_wait:
        scale = dataclasses.replace(scale, quiet_wait_s=0.0, retries=0)
    return _run(options.lines or list(LINES), scale, frozenset(peers), options.out, options.doc)


def _run(lines: list[str], scale: Scale, peers: frozenset[str], out: Path, doc: Path | None) -> int:
    facts = {
        **machine.describe(),
        "broker": f"Apache Kafka {KAFKA_VERSION}, one node, heap {BROKER_HEAP}",
        "scale": scale.name,
    }
    sections: list[Section] = []
    failed = False
    path = out / time.strftime("%Y%m%d-%H%M%S.json", time.gmtime())
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="a3cp-bench-", ignore_cleanup_errors=True))
        )
        context = Context(_cluster(stack, folder, scale), scale, peers, folder)
        if "kstreams" in peers:
            try:
                facts["kstreams"] = kstreams.description()
            except kstreams.NotRun as why:
                context.not_run["kstreams"] = str(why)
        for line in lines:
            print(f"==> {line}", flush=True)
            try:
                section = LINES[line](context)
            except Exception as error:  # One line that fails must not take the others' figures with it.
                failed = True
                section = Section(line, line, f"FAILED, {type(error).__name__}: {error}")
            section.notes += [f"{peer} not run: {why}" for peer, why in context.not_run.items()]
            sections.append(section)
            write(path, facts, sections)
    shown = "\n".join(f"- {key.replace('_', ' ')}: {value}" for key, value in facts.items())
    shown += "\n\n" + "\n".join(map(text_of, sections))
    print(f"\n{shown}")
    if doc is not None:
        replace_measured(doc, shown)
    if scale.name == "quick":
        print("Small sizes: these figures only show that the benchmark works.")
    print(f"all runs: {path}")
    return 1 if failed else 0


def _cluster(stack: ExitStack, folder: Path, scale: Scale) -> Cluster:
    """Start a broker of our own, so that nobody else's work is on it."""
    os.environ["A3CP_BROKER_HEAP"] = BROKER_HEAP
    for name in [
        name for name in os.environ if name.startswith("A3CP_") and name not in ("A3CP_BROKER_HEAP", "A3CP_CACHE_DIR")
    ]:
        del os.environ[name]  # The systems are measured with the settings named in systems.py.
    print("==> broker", flush=True)
    info = broker.up(None, folder / "broker", say=lambda text: print(f"    {text}", flush=True))
    stack.callback(broker.down, folder / "broker")
    return Cluster(info.bootstrap, scale.partitions)


if __name__ == "__main__":
    sys.exit(main())
