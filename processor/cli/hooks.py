"""`a3cp hooks`: tell other programs of sessions."""

from processor.cli.arguments.settings import Bootstrap, MetricsPort, Prefix, Store, chosen
from processor.cli.extras import require
from processor.processes.signals import leave_on_signals


def hooks(
    *,
    store: Store = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    metrics_port: MetricsPort = None,
) -> None:
    """Tell the receivers that templates name of sessions, until stopped.

    Each is told of starts, ends and every so many messages, and may answer with a note, context, tags or a score.
    Several processes share the work. Ctrl-C and SIGTERM stop it; what was under way is told again.

    Exit codes: 0 stopped, 1 failed, 2 wrong usage.
    """
    leave_on_signals()
    require("serve")
    from processor.processes.hooks.hooks import run_hooks  # noqa: PLC0415  # It takes half a second to load.

    run_hooks(chosen(bootstrap, prefix, store), metrics_port)
