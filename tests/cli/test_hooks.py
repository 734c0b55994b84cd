"""`a3cp hooks`: what keeps it from starting is one line, told before Kafka is asked."""

import json
from pathlib import Path

import pytest

from tests.cli.running import a3cp

HOOK = {"url": "http://127.0.0.1:1/", "secret": "HOOK_SECRET", "at": ["end"]}
HOOKED = {"play": {"hooks": {"all": HOOK}}}


@pytest.mark.parametrize(
    ("templates", "environ", "told"),
    [
        ({"play": {"gap_ms": 5}}, {}, "no template has a hook"),
        (
            {"play": {"hooks": {"all": HOOK}}},
            {},
            "HOOK_SECRET, the secret of the hook all of the template play, is not set",
        ),
        (
            {"play": {"hooks": {"all": HOOK}}},
            {"HOOK_SECRET": "whsec_?"},
            "begins with whsec_, and the rest is no base64",
        ),
    ],
    ids=["no hook", "no secret", "a wrong secret"],
)
def test_what_is_wrong_is_told(
    templates: dict[str, object], environ: dict[str, str], told: str, tmp_path: Path
) -> None:
    """Exit code 2; the secret is not quoted."""
    (tmp_path / "templates.json").write_text(json.dumps(templates))
    ours = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "A3CP_TEMPLATES_FILE": "templates.json"}
    done = a3cp("hooks", environ={**ours, **environ}, folder=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert "whsec_?" not in done.stderr


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    """In the folder of secrets, under the variable's name; it begins as any other text may."""
    (tmp_path / "templates.json").write_text(json.dumps(HOOKED))
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "HOOK_SECRET").write_text("whsec_?\n")
    ours = {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "A3CP_TEMPLATES_FILE": "templates.json",
        "A3CP_SECRETS_DIR": "secrets",
    }
    done = a3cp("hooks", environ=ours, folder=tmp_path)
    assert "begins with whsec_" in done.stderr
