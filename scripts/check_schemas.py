"""Check each schema in schemas/avro against the last release: BACKWARD (new reads old) and FORWARD (old reads new).

Run it as `python scripts/check_schemas.py`; it prints what is incompatible and exits 1 if anything is.
Source: the Avro specification 1.12, "Schema Resolution".
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CURRENT = ROOT / "schemas" / "avro"
RELEASED = ROOT / "schemas" / "released"
_PROMOTED = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}


def last_release(folder: Path = RELEASED) -> Path:
    """Return the folder of the newest released version."""
    return max(folder.iterdir(), key=lambda path: [int(part) for part in re.findall(r"\d+", path.name)])


def check(current: Path = CURRENT, released: Path | None = None) -> list[str]:
    """Return what is incompatible between the schemas in two folders, one sentence each."""
    released = released or last_release()
    wrong = []
    for path in sorted(released.glob("*.avsc")):
        if not (current / path.name).is_file():
            wrong.append(f"{path.stem}: it was released and is gone")
            continue
        new, old = (json.loads((folder / path.name).read_text("utf-8")) for folder in (current, released))
        wrong += [f"{path.stem}, BACKWARD (new reads old): {problem}" for problem in problems(new, old)]
        wrong += [f"{path.stem}, FORWARD (old reads new): {problem}" for problem in problems(old, new)]
    return wrong


def problems(reader: Any, writer: Any) -> list[str]:
    """Return why values written with `writer` cannot be read with `reader`; empty when they can."""
    return list(dict.fromkeys(_resolve(reader, writer, _names(reader), _names(writer), "", ())))


def _names(schema: Any) -> dict[str, Any]:
    """Return the named types in `schema`, by their names without namespaces."""
    found: dict[str, Any] = {}
    if isinstance(schema, list):
        for branch in schema:
            found |= _names(branch)
    elif isinstance(schema, dict):
        if "name" in schema and schema.get("type") in ("record", "enum", "fixed"):
            found[schema["name"]] = schema
        for key in ("type", "items", "values"):
            found |= _names(schema.get(key))
        for field in schema.get("fields", []):
            found |= _names(field["type"])
    return found


def _plain(schema: Any, names: dict[str, Any]) -> Any:
    while True:
        if isinstance(schema, str) and schema.rpartition(".")[2] in names:
            return names[schema.rpartition(".")[2]]
        if isinstance(schema, dict) and schema["type"] not in ("record", "enum", "fixed", "array", "map"):
            schema = schema["type"]
            continue
        return schema


def _resolve(  # noqa: PLR0917  # One branch for each kind of type, as the specification has it.
    reader: Any, writer: Any, readers: dict[str, Any], writers: dict[str, Any], where: str, seen: tuple[str, ...]
) -> list[str]:
    reader, writer = _plain(reader, readers), _plain(writer, writers)
    at = where or "the record"
    if isinstance(writer, list):
        return [problem for branch in writer for problem in _resolve(reader, branch, readers, writers, where, seen)]
    if isinstance(reader, list):
        tried = [_resolve(branch, writer, readers, writers, where, seen) for branch in reader]
        return [] if [] in tried else [f"{at}: no branch of the union takes {_kind(writer)}"]
    if isinstance(reader, str) or isinstance(writer, str):
        fits = reader == writer or (isinstance(writer, str) and reader in _PROMOTED.get(writer, ()))
        return [] if fits else [f"{at}: {_kind(writer)} became {_kind(reader)}"]
    if reader["type"] != writer["type"]:
        return [f"{at}: {_kind(writer)} became {_kind(reader)}"]
    kind = reader["type"]
    if kind in ("array", "map"):
        key = "items" if kind == "array" else "values"
        return _resolve(reader[key], writer[key], readers, writers, f"{where}[]", seen)
    if reader["name"] != writer["name"] and writer["name"] not in reader.get("aliases", []):
        return [f"{at}: {writer['name']} became {reader['name']}"]
    if kind == "fixed":
        return [] if reader["size"] == writer["size"] else [f"{at}: its size changed"]
    if kind == "enum":
        missing = set(writer["symbols"]) - set(reader["symbols"])
        return [f"{at}: lacks {sorted(missing)} and has no default"] if missing and "default" not in reader else []
    if reader["name"] in seen:
        return []
    written = {field["name"]: field for field in writer["fields"]}
    wrong = []
    for field in reader["fields"]:
        path = f"{where}.{field['name']}".lstrip(".")
        other = next((written[name] for name in (field["name"], *field.get("aliases", [])) if name in written), None)
        if other is not None:
            wrong += _resolve(field["type"], other["type"], readers, writers, path, (*seen, reader["name"]))
        elif "default" not in field:
            wrong.append(f"{path}: the writer has no such field, and it has no default")
    return wrong


def _kind(schema: Any) -> str:
    return schema if isinstance(schema, str) else str(schema["type"])


def main() -> int:
    """Print what is incompatible; return the exit code."""
    wrong = check()
    for sentence in wrong:
        sys.stderr.write(f"{sentence}\n")
    sys.stdout.write(f"schemas against release {last_release().name}: {'incompatible' if wrong else 'compatible'}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
