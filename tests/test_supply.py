"""What we take from others: all of it is in the list, nothing unknown, under licences that we may use."""

import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from scripts import sbom

ROOT = Path(__file__).parents[1]


def test_the_list_is_complete_and_valid() -> None:
    """Each package of the lock with version, all hashes and a licence, as the CycloneDX schema wants it."""
    text = sbom.document()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    listed = {part["name"]: part for part in json.loads(text)["components"]}
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    pinned = dict(re.findall(r"^([^\s=#]+)==([^\s;\\]+)", lock, re.MULTILINE))
    assert {name: part["version"] for name, part in listed.items()} == pinned
    assert sum(len(part["hashes"]) for part in listed.values()) == lock.count("--hash=sha256:")
    assert all(part["licenses"] for part in listed.values())
    assert version("pydantic") == listed["pydantic"]["version"], "what is installed is what is locked"


def test_an_unknown_licence_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that somebody else would have to judge, and a package that tells none."""
    for told in ("GPL-3.0-only", "MIT AND GPL-3.0-only", "UNKNOWN", ""):
        monkeypatch.setattr(sbom, "_told_by_package", lambda _, told=told: told)
        for name in ("newcomer", "certifi"):
            with pytest.raises(ValueError, match=f"the licence of {name} is"):
                sbom.licence_of(name)


def test_what_was_judged_is_still_there() -> None:
    """A judgement about a package that is gone is taken out."""
    assert sbom.JUDGED.keys() <= {package.name for package in sbom.locked()}
