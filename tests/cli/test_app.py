"""The command line's frame: exit codes, one line for a mistake, no traceback."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest

from processor.cli.app import main
from processor.cli.commands import COMMANDS, load
from processor.store import open_store
from tests.cli import running

CANARY = "c4n4ry"


def a3cp(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "KAFKA_BOOTSTRAP_SERVERS"}
    return running.a3cp(*arguments, environ=kept | environment, folder=cwd)


class Ended(NamedTuple):
    """How a call ended, and what it printed."""

    code: int
    out: str
    err: str


Called: TypeAlias = Callable[..., Ended]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Called:
    """Call `a3cp` in this process, at 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["a3cp", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return Ended(int(ended.value.code or 0), *capsys.readouterr())

    return call


def test_wrong_usage_is_2(tmp_path: Path) -> None:
    """An unknown command and a missing Kafka are the caller's to mend: code 2, one line, the remedy in it."""
    assert a3cp("no-such-command").returncode == 2
    result = a3cp("topics", "plan", A3CP_BROKER_DIR=str(tmp_path))
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: no Kafka is named and the embedded one does not run; start it with a3cp broker up")


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("serve", "--port", "99999"), "'--port': at most 65535 is wanted"),
        (("serve", "--port", "high"), "'--port': a whole number is wanted"),
        (("canary", "--every", "0"), "'--every': at least 0.1 is wanted"),
    ],
)
def test_a_value_that_is_refused_is_told_in_our_words(called: Called, arguments: tuple[str, ...], wanted: str) -> None:
    """What is wanted, as for a setting; pydantic's own words speak of inputs and of parsing strings."""
    ended = called(*arguments)
    assert ended.code == 2
    assert ended.err == f"error: invalid value for {wanted}; a3cp {arguments[0]} --help says what it takes\n"


def test_failed_is_1(tmp_path: Path) -> None:
    """A Kafka that does not answer is a failure: code 1, one line, no traceback."""
    result = a3cp("topics", "plan", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert result.returncode == 1
    assert result.stderr.startswith("error: no Kafka broker answers at 127.0.0.1:1; ")
    assert "Traceback" not in result.stderr


def test_topics_heed_the_settings(tmp_path: Path) -> None:
    """How to get into a Kafka stands in a3cp.toml, for this command as for the others."""
    (tmp_path / "a3cp.toml").write_text('[kafka]\n"bootstrap.servers" = "127.0.0.1:1"\n"security.protocol" = "none"\n')
    result = a3cp("topics", "plan", cwd=tmp_path)
    assert result.returncode == 2
    note, line = result.stderr.splitlines()
    assert note == f"note: settings from {tmp_path / 'a3cp.toml'}: kafka.bootstrap.servers, kafka.security.protocol"
    assert line.startswith(
        'error: the Kafka client refuses a property: Invalid value "none" for configuration property'
    )


@pytest.mark.parametrize(
    "address",
    [
        "ftp://u:{}@127.0.0.1:1/x", "s3://key:{}@bucket/x", "nosuch://u:{}@h/x", "dask::ftp://u:{}@127.0.0.1:1/x",
        "abfs://c@acct/x?sas={}", "ftp://u:pa/{}@127.0.0.1:1/x",
    ],
)  # fmt: skip
def test_no_password_of_a_target_is_printed(tmp_path: Path, address: str) -> None:
    """Whatever cannot be reached is named without what lets one in."""
    for command in (["verify"], ["sessions", "timeline"], ["retention", "--older-than", "30d", "--to"]):
        result = a3cp(*command, address.format(CANARY), cwd=tmp_path)
        assert result.returncode in (1, 2)
        assert CANARY not in result.stdout + result.stderr


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:{}@127.0.0.1:1/db", "postgresql://127.0.0.1:1/db?password={}&user=u", "mysql://u:{}@h/db",
        "postgresql://127.0.0.1:1/db?passwrd={}&user=u", "postgresql://u:{}@[::1/db", "postgresql://u:{}/x@h/db",
    ],
)  # fmt: skip
def test_no_password_of_a_store_is_printed(tmp_path: Path, address: str) -> None:
    """In a query as in the login, and in an address that is wrong."""
    result = a3cp("sessions", "list", cwd=tmp_path, A3CP_STORE_URL=address.format(CANARY))
    assert result.returncode in (1, 2)
    assert CANARY not in result.stdout + result.stderr
    assert result.stderr.startswith("error: ")


SLOW_TO_LOAD = ("confluent_kafka", "sqlalchemy", "rich", "pyarrow", "jgo")


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"], ["--version"], ["sessio"]])
def test_what_is_slow_to_load_is_not_loaded_for_help(arguments: list[str]) -> None:
    """Help, version and a mistyped command come at once: a command's module is loaded when it is called."""
    program = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print('loaded:', *(sys.modules.keys() & {set(SLOW_TO_LOAD)})))\n"
        "from processor.cli.app import main\n"
        f"sys.argv[1:] = {arguments}\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines()[-1] == "loaded:"
    assert done.returncode == (2 if arguments == ["sessio"] else 0)


def test_the_list_of_commands_is_what_is_there(called: Called) -> None:
    """Each line stands whole in 80 columns, and names the commands that the loaded module has."""
    told = called("--help").out
    for name, entry in COMMANDS.items():
        command = load(name)
        assert tuple(getattr(command, "commands", ())) == entry.words
        assert re.search(rf"^  {name} +{re.escape(entry.line)}$", told, re.MULTILINE)
        listed = called(name, "--help").out
        assert "..." not in listed.replace("COMMAND [ARGS]...", "").replace("FILE...", "").replace("NAME=VALUE...", "")
        assert all(re.search(rf"^  {word} +\w", listed, re.MULTILINE) for word in entry.words)
        assert not re.search(r"<(str|int|float|list)\b|\{[A-Z]", listed)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("proces", "no command 'proces' in a3cp; did you mean a3cp process or a3cp produce?"),
        ("session list", "no command 'list' in a3cp session; did you mean a3cp sessions list?"),
        ("sessions start", "no command 'start' in a3cp sessions; did you mean a3cp session start?"),
        ("sessions timelin", "no command 'timelin' in a3cp sessions; did you mean a3cp sessions timeline?"),
        ("list", "no command 'list' in a3cp; did you mean a3cp sessions list or a3cp dlq list?"),
        ("topics verify", "no command 'verify' in a3cp topics; did you mean a3cp verify?"),
        ("help sesions", "no command 'sesions' in a3cp; did you mean a3cp sessions or a3cp session?"),
        ("xyzzy", "no command 'xyzzy' in a3cp; a3cp --help says what it takes"),
        ("demo --dwn", "no such option: --dwn (Possible options: --down); a3cp demo --help says what it takes"),
        ("produce", "missing argument 'FILE'; a3cp produce --help says what it takes"),
    ],
)  # fmt: skip
def test_a_slip_is_one_line_with_what_was_meant(called: Called, words: str, told: str) -> None:
    """Also between `session` and `sessions`, and when only the command's own word is known."""
    assert called(*words.split()) == (2, "", f"error: {told}\n")


def test_help_is_the_same_however_it_is_asked_for(called: Called) -> None:
    texts = {called(*words.split()).out for words in ("help sessions list", "sessions list -h", "sessions help list")}
    (text,) = texts
    assert text.startswith("Usage: a3cp sessions list [OPTIONS]")
    assert called("help").out == called("--help").out == called().err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a3cp ses", ["session", "sessions"]),
        ("a3cp sessions ", ["list", "show", "search", "timeline"]),
        ("a3cp sessions list --un", ["--until"]),
        ("a3cp help re", ["replay", "retention"]),
    ],
)
def test_tab_completes_commands_and_options(line: str, words: list[str]) -> None:
    """As the shell asks for it, once `a3cp --install-completion` was run."""
    word = str(len(line.split(" ")) - 1)
    assert a3cp(_A3CP_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=word).stdout.split() == words
    assert (
        "_A3CP_COMPLETE=complete_bash"
        in a3cp("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1").stdout
    )


def test_json_says_whether_the_broker_runs(tmp_path: Path) -> None:
    """For scripts: a JSON object and an exit code that agree."""
    result = a3cp("broker", "status", "--json", "--data-dir", str(tmp_path))
    assert (json.loads(result.stdout), result.returncode) == ({"running": False}, 1)


def test_mistakes_in_arguments_are_told(tmp_path: Path) -> None:
    """What is no UTF-8, no port or no page: one line or typer's words, code 2, no traceback."""
    store = f"sqlite:///{tmp_path / 'store.db'}"
    open_store(store).close()
    for arguments in (
        ("--store", store, "--user", "\udcff"),
        ("--store", store, "--page", "9" * 20),
        ("--store", "postgresql://host:port/db"),
    ):
        result = a3cp("sessions", "list", *arguments)
        assert result.returncode == 2, result.stderr
        assert "rror: " in result.stderr
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "words",
    ["sessions timeline {}", "replay {} --to t", "sessions list --store sqlite:///{}", "demo --out {}", "verify {}"],
)
def test_a_name_that_no_file_can_have_is_one_line(words: str, tmp_path: Path) -> None:
    result = a3cp(*words.format("a" * 300).split(), cwd=tmp_path)
    assert result.returncode in (1, 2), result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith("error: ")


def test_a_broker_that_cannot_start_is_one_line(tmp_path: Path) -> None:
    """Without the progress bar, which has nothing to show."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = a3cp("broker", "up", "--data-dir", str(tmp_path), "--port", str(port))
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: port {port} is taken by another process")


def test_what_is_for_bundles_wants_bundles(tmp_path: Path) -> None:
    """Which bundles, of what: without --to none are written, so that the choice would do nothing."""
    for option in ("--format", "--user", "--session", "--since", "--until", "--seal"):
        value = [] if option == "--seal" else ["2027-01-15"]
        result = a3cp("export", option, *value, "--bootstrap", "127.0.0.1:1", cwd=tmp_path)
        assert result.returncode == 2, result.stderr
        assert result.stderr.startswith(f"error: {option} is for bundles; add --to, or leave it out")
