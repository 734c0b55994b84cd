"""The drain with many users, against the drain with few: does the number of users matter?"""

from functools import partial
from typing import Any

from bench.context import Context
from bench.drain import Backlog, drain, load
from bench.report import Section, Target, middle, number, ratio, spread
from bench.systems import OURS_DRAIN


def measure(context: Context) -> Section:
    """Measure the drain with few and with many users; the same number of messages first, then more if asked."""
    scale = context.scale
    section = Section(
        "million",
        "Drain with many users",
        f"As the drain above, ours only: {scale.users:,} users against {scale.many_users:,}. With {scale.messages:,} "
        "messages most of the many users send one or none, so nearly every message starts a session (one more record "
        "each on the event topic, and a state record of its own); with more messages that share falls. The backlog "
        "differs, so runs do not alternate.",
        ("messages", "users", "msg/s", "of all runs", "CPU µs/msg", "peak RSS MB"),
    )
    rates: dict[tuple[int, int], float | None] = {}
    sizes = [(scale.messages, scale.users), (scale.messages, scale.many_users)]
    if scale.large_messages:
        sizes += [(scale.large_messages, scale.users), (scale.large_messages, scale.many_users)]
    for size in sizes:
        backlog = Backlog(*size)
        load(context, backlog, peers=False)
        runs = []
        for _ in range(scale.runs if size[0] == scale.messages else 1):
            run: dict[str, Any] = context.quietly(
                f"drain, {size[0]:,} messages, {size[1]:,} users",
                partial(drain, context, OURS_DRAIN, backlog, check=False),
            )
            runs.append({"messages": size[0], "users": size[1], **run})
        section.runs += runs
        rates[size] = middle(runs, "msg_s")
        section.rows.append(
            (
                f"{size[0]:,}",
                f"{size[1]:,}",
                number(rates[size]),
                spread(runs, "msg_s"),
                number(middle(runs, "cpu_us"), 1),
                number(middle(runs, "peak_rss_mb")),
            )
        )
    for messages in dict.fromkeys(size[0] for size in sizes):
        share = ratio(rates[messages, scale.many_users], rates[messages, scale.users])
        if share is not None:
            wanted = f"many users at least 0.7 of few, {messages:,} messages"
            section.targets.append(Target(wanted, f"{share:.2f}", share >= 0.7))
    return section
