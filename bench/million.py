"""The drain with many users, against the drain with few: does the number of users matter?

Twice: the many users are all new, so that nearly every message starts a session; and they all have open sessions, which
is the case that a running system lives in.
"""

import random
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from bench.cluster import OURS
from bench.context import Context, step
from bench.drain import Backlog, drain, load, watch
from bench.messages import encode_ours, message
from bench.report import Section, Target, middle, number, ratio, spread
from bench.restore import MESSAGES_EACH, await_restored, begun_group, load_states
from bench.systems import OURS_DRAIN
from bench.task import open_since_ms, user_key

NEW: Final = "new"
OPEN: Final = "with open sessions"


def measure(context: Context) -> Section:
    """Measure the drain with few and with many users, who are new; then with many who have open sessions."""
    scale = context.scale
    section = Section(
        "million",
        "Drain with many users",
        f"As the drain above, ours only: {scale.users:,} users against {scale.many_users:,}. Users that are `{NEW}`: "
        f"with {scale.messages:,} messages most of the many users send one or none, so nearly every message starts a "
        "session (one more record each on the event topic, and a state record of its own); with more messages that "
        f"share falls. Users `{OPEN}`, the case that a running system lives in: each has had {MESSAGES_EACH} messages "
        "in an open session, their states are restored first, and every message falls into such a session; rate and "
        "CPU count from when all partitions are restored. The backlog differs, so runs do not alternate.",
        ("messages", "users", "these are", "msg/s", "of all runs", "CPU µs/msg", "peak RSS MiB"),
    )
    rates: dict[tuple[int, int], float | None] = {}
    sizes = [(scale.messages, scale.users), (scale.messages, scale.many_users)]
    if scale.large_messages:
        sizes += [(scale.large_messages, scale.users), (scale.large_messages, scale.many_users)]
    for size in sizes:
        backlog = Backlog(*size)
        load(context, backlog, peers=False)
        runs = [
            context.quietly(
                f"drain, {size[0]:,} messages, {size[1]:,} users",
                partial(drain, context, OURS_DRAIN, backlog, check=False),
            )
            for _ in range(scale.runs if size[0] == scale.messages else 1)
        ]
        rates[size] = _add(section, backlog, NEW, runs)
    for messages in dict.fromkeys(size[0] for size in sizes):
        wanted = f"many users at least 0.7 of few, {messages:,} messages, users {NEW}"
        _compare(section, wanted, rates[messages, scale.many_users], rates[messages, scale.users])
    backlog = Backlog(scale.messages, scale.many_users)
    load_inside(context, backlog)
    runs = []
    for _ in range(scale.runs):
        load_states(context, backlog.users, keep_raw=True)
        what = f"drain, {backlog.messages:,} messages, {backlog.users:,} users {OPEN}"
        runs.append(context.quietly(what, partial(drain_restored, context, backlog)))
    rate = _add(section, backlog, OPEN, runs)
    wanted = f"many users at least 0.7 of few, {backlog.messages:,} messages, users {OPEN}"
    _compare(section, wanted, rate, rates[scale.messages, scale.users])
    return section


def load_inside(context: Context, backlog: Backlog) -> None:
    """Fill the input topic with messages of random users, each inside the open session that `open_state` gives them."""

    def records() -> Iterator[tuple[str, str, bytes, int | None]]:
        rng = random.Random(7)
        last_ms: dict[int, int] = {}
        for _ in range(backlog.messages):
            user = rng.randrange(backlog.users)
            before_ms = last_ms.get(user) or open_since_ms(user) + 10_000 * (MESSAGES_EACH - 1)
            last_ms[user] = before_ms + rng.randrange(200, 20_000)
            user_id = user_key(user).decode()
            yield f"{OURS}.raw", user_id, encode_ours(message(rng, user_id, last_ms[user])), None

    context.cluster.fresh_ours(keep_raw=False)
    with step(f"loading {backlog.messages:,} messages of {backlog.users:,} users {OPEN}"):
        context.cluster.load(records())


def drain_restored(context: Context, backlog: Backlog) -> dict[str, Any]:
    """Start the processor on states and backlog; measure from when all is restored to when all is tagged.

    A partition that is restored earlier than the last works already: what it has put out by then does not count.
    """
    cluster = context.cluster
    reader = cluster.reader(OURS_DRAIN.tagged)
    with OURS_DRAIN.start(cluster, context.folder, begun_group(cluster)) as launched:
        run: dict[str, Any] = {"system": OURS_DRAIN.name, **await_restored(launched, context.scale.partitions)}
        begun_s, begun_cpu_s = time.monotonic(), launched.cpu_s()
        # Their ends, in which transaction markers count too: one in some thousand.
        early = sum(reader.get_watermark_offsets(tp, timeout=10)[1] for tp in reader.assignment())
        arrivals = watch(reader, launched, backlog.messages, begun_s)
        cpu_s = launched.cpu_s() - begun_cpu_s
        run["peak_rss_mib"] = round(launched.peak_rss_mib())
    reader.close()
    left = max(1, backlog.messages - early)
    within = [(at_s, so_far) for at_s, so_far in arrivals if left // 10 <= so_far - early <= left - left // 10]
    run["early"] = early
    if len(within) > 1:
        (first_s, first), (last_s, last) = within[0], within[-1]
        run["msg_s"] = (last - first) / (last_s - first_s)
    run["cpu_us"] = cpu_s / left * 1e6
    return run


def _add(section: Section, backlog: Backlog, these_are: str, runs: list[dict[str, Any]]) -> float | None:
    """Add a row and its runs; return the median rate."""
    section.runs += [
        {"messages": backlog.messages, "users": backlog.users, "these_are": these_are, **run} for run in runs
    ]
    rate = middle(runs, "msg_s")
    section.rows.append(
        (
            f"{backlog.messages:,}",
            f"{backlog.users:,}",
            these_are,
            number(rate),
            spread(runs, "msg_s"),
            number(middle(runs, "cpu_us"), 1),
            number(middle(runs, "peak_rss_mib")),
        )
    )
    return rate


def _compare(section: Section, wanted: str, many: float | None, few: float | None) -> None:
    share = ratio(many, few)
    if share is not None:
        section.targets.append(Target(wanted, f"{share:.2f}", share >= 0.7))
