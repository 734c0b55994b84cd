"""Records what this version stores: `make record`. A recording of a released version is never made anew."""

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.upgrades.meaning import meaning_of
from tests.upgrades.recording import record
from tests.upgrades.sums import HERE, write_sums


def main() -> None:
    """Make the folder of this version, anew if it is there and not released."""
    coming = version("a3cp-session-manager")
    if f"\n## {coming}" in (HERE.parents[1] / "CHANGELOG.md").read_text("utf-8"):
        sys.exit(
            f"error: {coming} is released, so what it stored stays as it is; set the next version in pyproject.toml"
        )
    folder = HERE / coming
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory() as copy:
        record(folder, Path(work))
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        meaning = meaning_of(Path(copy))
    (folder / "meaning.json").write_text(text_of(meaning), "utf-8")
    write_sums()
    sys.stdout.write(f"recorded in {folder}\n")


def text_of(meaning: Mapping[str, Mapping[str, Any]]) -> str:
    """Return JSON with a line for each record, session and the like."""
    parts = []
    for name, content in meaning.items():
        lines = (f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in content.items())
        parts.append(json.dumps(name) + ": {\n" + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main()
