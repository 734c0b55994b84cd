"""Installs a wheel without a network.

The dependencies are those of this environment: each package that the wheel asks for, and no other, is linked into a
folder beside it.
"""

import sys
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OURS = "a3cp-session-manager"


def needed(requirements: list[str], extra: str = "") -> Iterator[str]:
    """Yield the names of the packages that `requirements` ask for with `extra`, and those that they ask for."""
    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        if name == OURS:
            continue
        yield name
        for inner in requirement.extras or {""}:
            yield from needed(distribution(name).requires or [], inner)


def installed(wheel: Path, site: Path, extra: str = "") -> Path:
    """Make of `site` a folder of packages, the wheel's and those that it asks for with `extra`, and a command."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    metadata = HeaderParser().parsestr(next(site.glob("*.dist-info/METADATA")).read_text("utf-8"))
    for name in set(needed(metadata.get_all("Requires-Dist", []), extra)):
        files = distribution(name).files or []
        for top in {file.parts[0] for file in files if not file.is_absolute()} - {"..", "__pycache__"}:
            (site / top).symlink_to(str(distribution(name).locate_file(top)))
    program = (
        f"import sys; sys.path.insert(0, '{site}'); sys.argv[0] = 'a3cp'; from processor.cli.app import main; main()"
    )
    command = site / "bin" / "a3cp"
    command.parent.mkdir()
    # -I -S: no package of this environment, and nothing of the folder that one is in.
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S -c "{program}" "$@"\n')
    command.chmod(0o755)
    return site
