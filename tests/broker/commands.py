"""`a3cp` as a person runs it against a Kafka."""

import json
import os
import subprocess
from typing import Any

from tests.cli.running import PROGRAM, a3cp


class Commands:
    """Runs `a3cp` in its own environment."""

    def __init__(self, kafka: str, prefix: str) -> None:
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("A3CP_")},
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "A3CP_TOPIC_PREFIX": prefix,
            "A3CP_GROUP_ID": prefix,
            "COLUMNS": "80",  # What is piped is as wide as it has to be all the same.
        }

    def __call__(self, *arguments: str, stdin: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        done = a3cp(*arguments, environ=self.environ, stdin=stdin)
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def alone(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run in a process of its own."""
        return subprocess.run(
            [*PROGRAM, *arguments],
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def json(self, *arguments: str, stdin: str = "", code: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", stdin=stdin, code=code).stdout)
