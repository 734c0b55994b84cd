"""`a3cp token`: a token is printed once, and what is wrong is one line."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from tests.cli.running import a3cp


def test_a_token_is_printed_once_and_its_hash_is_kept(tmp_path: Path) -> None:
    """In the file that the setting names; a second token is added to it."""
    environ = {"A3CP_SERVE_TOKENS_FILE": "tokens.json"}
    printed = []
    for name, users in (("camera", "ann, bob"), ("review", "*")):
        done = a3cp("token", "new", name, "--role", "producer", "--users", users, environ=environ, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout.strip())
    kept = json.loads((tmp_path / "tokens.json").read_text())
    assert [token["sha256"] for token in kept] == [sha256(token.encode()).hexdigest() for token in printed]
    assert (sorted(kept[0]["users"]), kept[1]["users"]) == (["ann", "bob"], "*")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("x", "--role", "admin", "--users", "*", "--file", "t.json"), "no role admin"),
        (("x", "--role", "producer", "--users", " , ", "--file", "t.json"), "--users is empty"),
        (("x", "--role", "producer", "--users", "ann,session_manager", "--file", "t.json"), "is this system's own"),
        (("x", "--role", "producer", "--users", "an\u200bn", "--file", "t.json"), "cannot be seen"),
        (("x", "--role", "producer", "--users", "*"), "no file of tokens is named"),
        (("known", "--role", "producer", "--users", "*", "--file", "known.json"), "has a token known already"),
        (("x", "--role", "producer", "--users", "*", "--file", "broken.json"), "is not as it should be"),
        (("x", "--role", "producer", "--users", "*", "--file", "no/t.json"), "cannot be written"),
    ],
)
def test_what_is_wrong_is_told(arguments: tuple[str, ...], told: str, tmp_path: Path) -> None:
    """Exit code 2, and no file is harmed."""
    a3cp(
        "token",
        "new",
        "known",
        "--role",
        "reviewer",
        "--users",
        "*",
        "--file",
        "known.json",
        environ={},
        folder=tmp_path,
    )
    (tmp_path / "broken.json").write_text('[{"name": "x"}]')
    done = a3cp("token", "new", *arguments, environ={}, folder=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
