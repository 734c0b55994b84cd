"""`a3cp` run in this process: what it prints and its exit code, without the second that each new process takes."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from typer.testing import CliRunner

from processor.cli.app import main

PROGRAM = [sys.executable, "-c", "from processor.cli.app import main; main()"]  # `a3cp` in a process of its own


def a3cp(
    *arguments: str, environ: Mapping[str, str], stdin: str = "", folder: Path | None = None
) -> CompletedProcess[str]:
    """Run a command with `environ` and nothing else in its environment, in `folder` if one is named."""
    umask = os.umask(0o077)  # The command sets it for its process.
    wakeup = signal.set_wakeup_fd(-1)  # Else a worker that was refused would end this process at the next signal.
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    alone = {**dict.fromkeys(os.environ), **environ}
    code: str | int | None = 0
    with pytest.MonkeyPatch.context() as patch, CliRunner().isolation(stdin, alone) as (stdout, stderr, _):
        patch.setattr(sys, "argv", ["a3cp", *arguments])
        if folder is not None:
            patch.chdir(folder)
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        finally:
            os.umask(umask)
            signal.set_wakeup_fd(wakeup)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            sys.stdout.flush()
            sys.stderr.flush()
        said = stdout.getvalue().decode(), stderr.getvalue().decode()
    assert code is None or isinstance(code, int)
    return CompletedProcess(arguments, code or 0, *said)
