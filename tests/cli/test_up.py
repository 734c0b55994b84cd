"""`a3cp up`: where everything is kept, and what it refuses before anything is started."""

import socket
import subprocess
from pathlib import Path

import pytest

from processor.cli.up import _place
from processor.demo.exported import DEMO_DIR, mark
from processor.processes.up import Kafka, Place, environ_of, tell
from processor.settings.model import Settings
from tests.cli.running import a3cp
from tests.strategies import make_codec

DATA = Path("a3cp-data")
ROOT = Path(__file__).parents[2]
CODEC = make_codec()
TOPICS = {"a3cp-demo-1.raw": "id", "a3cp-demo-1.tagged": "id"}


def test_where_everything_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder that is named, Kafka's data too; else here; the demo's day while there is nothing else."""
    monkeypatch.chdir(tmp_path)
    assert _place(None, "a3cp") == Place(DATA, None, "a3cp")
    assert _place(Path("x"), "a3cp") == Place(Path("x"), Path("x/kafka"), "a3cp")
    mark(DEMO_DIR, TOPICS)
    assert _place(None, "a3cp") == Place(DEMO_DIR, None, "a3cp-demo-1")
    assert _place(DEMO_DIR, "a3cp") == Place(DEMO_DIR, None, "a3cp-demo-1"), "its topics are where the demo made them"
    DATA.mkdir()
    assert _place(None, "a3cp") == Place(DATA, None, "a3cp")


def test_what_is_set_stays() -> None:
    """The store and the group of the settings count; what is not set is in the place."""
    place = Place(Path("x"), None, "a3cp-demo")
    ours = environ_of(Settings(), place, "127.0.0.1:1", 8080)
    assert (ours["A3CP_STORE_URL"], ours["A3CP_GROUP_ID"]) == ("sqlite:///x/a3cp.db", "a3cp-demo")
    assert ours["A3CP_TOPIC_PREFIX"] == "a3cp-demo"
    given = Settings(store_url="postgresql://h/d", group_id="mine", profile_store_url="postgresql://h/p")
    theirs = environ_of(given, place, "127.0.0.1:1", 8080)
    assert (theirs["A3CP_STORE_URL"], theirs["A3CP_GROUP_ID"]) == ("postgresql://h/d", "mine")
    assert theirs["A3CP_PROFILE_STORE_URL"] == "postgresql://h/p"


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    """Exit code 2, before a Kafka is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = a3cp("up", "--port", port, environ={}, folder=tmp_path)
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr


def test_the_first_message_is_to_the_letter() -> None:
    """What newcomers are given to try is sent without a complaint, and is another one at each start."""
    sent = []
    for _ in range(2):
        said: list[str] = []
        kafka = Kafka("127.0.0.1:1", None, said.append)
        tell(kafka, Place(Path("x"), None, "a3cp"), Settings(), "http://127.0.0.1:8080", said.append, program="a3cp")
        command = said[-1].removeprefix("try       ").partition(" | ")[0]
        sent.append(subprocess.run(["sh", "-c", command], check=True, capture_output=True).stdout.strip())
    assert [CODEC.reasons(message) for message in sent] == [(), ()]
    assert sent[0] != sent[1]


def test_the_first_message_of_the_documents_is_to_the_letter() -> None:
    """That of docs/installing.md likewise."""
    line = next(line for line in (ROOT / "docs" / "installing.md").read_text("utf-8").splitlines() if "echo '{" in line)
    told = subprocess.run(["sh", "-c", line.partition(" | ")[0]], check=True, capture_output=True)
    assert CODEC.reasons(told.stdout.strip()) == ()
