"""No secret is printed: not by help, errors, crashes or settings. tests/broker/test_rights.py has the rest."""

import os
import subprocess
import sys
from pathlib import Path
from pprint import pformat

import pytest

from processor.client.service.opening import backend_of
from processor.settings.model import Settings
from processor.settings.sources import load
from tests.cli.running import a3cp
from tests.commands import ALL_COMMANDS

CANARY = "c4n4ry-of-secrets"
SECRETS = {
    "A3CP_KAFKA__SASL__PASSWORD": CANARY,
    "A3CP_KAFKA__SASL__OAUTHBEARER__CLIENT__SECRET": CANARY,
    "A3CP_KAFKA__SSL__KEY__PASSWORD": CANARY,
    "A3CP_SERVE_OIDC_CLIENT_SECRET": CANARY,
    "A3CP_SITE_KEY": CANARY,
    "A3CP_LOG_KEY": CANARY,
    "A3CP_PROFILE_STORE_KEY": CANARY,
    "A3CP_PROFILE_STORE_URL": f"postgresql://a3cp:{CANARY}@127.0.0.1:1/profiles",
    "A3CP_STORE_URL": f"postgresql://127.0.0.1:1/a3cp?user=a3cp&password={CANARY}",
    "A3CP_TOKEN": CANARY,
    "SCHEMA_REGISTRY_URL": f"http://a3cp:{CANARY}@127.0.0.1:1",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
}
"""Every variable that holds a secret, or an address with one."""


def test_every_setting_that_may_hold_a_secret_is_tried() -> None:
    """These are those that are left out of the settings' own text."""
    hidden = {name for name, info in Settings.model_fields.items() if not info.repr}
    tried = {name.removeprefix("A3CP_").split("__")[0].lower() for name in SECRETS}
    assert hidden <= tried


@pytest.mark.parametrize("name", ALL_COMMANDS)
def test_help_shows_none(name: str) -> None:
    """Also where it tells defaults."""
    told = a3cp(*name.split()[1:], "--help", environ={**os.environ, **SECRETS})
    assert told.returncode == 0
    assert CANARY not in told.stdout + told.stderr


def test_settings_show_none() -> None:
    """Whoever prints them, or what they are part of."""
    loaded = load(SECRETS, Path("/nowhere"))
    for text in (repr(loaded), str(loaded.settings), f"{loaded.settings!r}", pformat(loaded)):
        assert CANARY not in text


@pytest.mark.parametrize(
    ("words", "where"),
    [
        ("sessions list", "processor.cli.sessions.stored"),
        ("status", "processor.cli.status.overview"),
        ("export", "processor.cli.export.chosen"),
    ],
)
def test_a_crash_shows_none(words: str, where: str, tmp_path: Path) -> None:
    """What nobody foresaw ends with a traceback, which shows lines of code and no values."""
    module, _, name = where.rpartition(".")
    program = (
        "import importlib, sys\n"
        f"module = importlib.import_module({module!r})\n"
        f"real = module.{name}\n"
        "def crash(*given, **named):\n"
        "    kept = [given, named, dict(__import__('os').environ)]\n"
        "    raise RuntimeError('nobody foresaw this')\n"
        f"module.{name} = crash\n"
        "from processor.cli.app import main\n"
        f"sys.argv[1:] = {words.split()!r}\n"
        "main()\n"
    )
    environ = {**os.environ, **SECRETS}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "nobody foresaw this" in done.stderr
    assert CANARY not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "words", ["sessions list", "retention --older-than 30d --yes", "session start ann --timeout 1"]
)
def test_an_error_shows_none(words: str, tmp_path: Path) -> None:
    """Neither store nor Kafka answers."""
    environ = {**os.environ, **SECRETS, "A3CP_LOG_LEVEL": "debug"}
    done = a3cp(*words.split(), environ=environ, folder=tmp_path)
    assert done.returncode != 0
    assert done.stderr.startswith("error: ")
    assert CANARY not in done.stdout + done.stderr


def test_secrets_come_from_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them, from the folder A3CP_SECRETS_DIR; the token of a client as well."""
    for name, value in SECRETS.items():
        (tmp_path / name.lower()).write_text(f"{value}\n")
    named = {"A3CP_SECRETS_DIR": str(tmp_path)}
    assert load(named, tmp_path).settings == load(SECRETS, tmp_path).settings
    monkeypatch.delenv("A3CP_TOKEN", raising=False)
    monkeypatch.setenv("A3CP_SECRETS_DIR", str(tmp_path))
    assert backend_of("http://127.0.0.1:1", None).start().headers == {"Authorization": f"Bearer {CANARY}"}
