"""Finds the project's documents: schemas, topics, examples and docs, in an installed package as in a checkout."""

import re
from pathlib import Path
from typing import Final

from processor.errors import UsageError

_PACKAGE = Path(__file__).parents[1]
# A wheel carries the folders inside the package (pyproject.toml, force-include); a checkout has them at its root.
_ROOT = _PACKAGE / "_data" if (_PACKAGE / "_data").is_dir() else _PACKAGE.parent
_NAMED: Final = re.compile(r"(?<![\w./-])docs/[\w./-]*\w")


def schema_text(name: str) -> str:
    """Return the text of the Avro schema `name`, a record type such as `A3CPMessage`.

    Raises:
        UsageError: there is none of that name.
    """
    known = {path.stem: path for path in (_ROOT / "schemas" / "avro").glob("*.avsc")}
    if name not in known:
        raise UsageError(f"no schema {name}", remedy=f"there are {', '.join(sorted(known)) or 'none'}")
    return known[name].read_text("utf-8")


def released_schemas() -> list[str]:
    """Return the texts of all schemas of releases; what is stored may be written with any of them."""
    return [path.read_text("utf-8") for path in sorted((_ROOT / "schemas" / "released").rglob("*.avsc"))]


def topic_files() -> list[Path]:
    """Return the topics' files, sorted by name."""
    return sorted((_ROOT / "topics").glob("*.yaml"))


def example_messages() -> list[bytes]:
    """Return the example messages, as A3CP's modules send them today, a line each."""
    return (_ROOT / "examples" / "messages.jsonl").read_bytes().splitlines()


def located(text: str) -> str:
    """Return `text` with each document that it names, such as docs/operations.md, as a path that leads there from here.

    A checkout's root needs no change. An installed package's documents are where its code is.
    """
    return _NAMED.sub(lambda match: _path(match[0]), text) if "docs/" in text else text


def _path(name: str) -> str:
    there = _ROOT / name
    return str(there) if there.exists() and not Path(name).exists() else name
