"""What a session may be told when it begins: its `context`, by its template's `config_schema` (JSON Schema 2020-12)."""

# jsonschema is loaded where it is needed: that takes a tenth of a second, and most commands do without.
# ruff: noqa: PLC0415

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

_WORDS_CHARS_MAX: Final = 200


class ContextFault(NamedTuple):
    """What is wrong with a context, and the names that lead there."""

    where: tuple[str | int, ...]
    what: str


def checked(schema: dict[str, Any]) -> dict[str, Any]:
    """Return `schema` if contexts can be checked with it.

    Raises:
        ValueError: it is no JSON Schema, or refers to something that is not in it. Nothing is fetched.
    """
    from jsonschema import Draft202012Validator, SchemaError
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = ".".join(map(str, error.absolute_path))
        raise ValueError(f"{where}: {_short(error.message)}" if where else _short(error.message)) from None
    inside = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
    for reference in _references(schema):
        try:
            inside.lookup(reference)
        except Unresolvable:
            raise ValueError(f"$ref {_short(reference)} leads to nothing in the schema") from None
    return schema


def faults_in(context: Mapping[str, Any], schema: Mapping[str, Any]) -> list[ContextFault]:
    """Return what is wrong with `context` by a schema that is `checked`; nothing if it fits."""
    from jsonschema import Draft202012Validator
    from referencing import Registry

    errors = Draft202012Validator(schema, registry=Registry()).iter_errors(context)
    try:
        return [ContextFault(tuple(error.absolute_path), _short(error.message)) for error in errors]
    except RecursionError:
        return [ContextFault((), "it is nested too deeply")]


def _references(part: object) -> Iterator[str]:
    if isinstance(part, Mapping):
        if isinstance(reference := part.get("$ref"), str):
            yield reference
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from _references(each)


def _short(words: str) -> str:
    return words if len(words) <= _WORDS_CHARS_MAX else f"{words[:_WORDS_CHARS_MAX]}…"
