"""What a setting must be, in plain words. pydantic's own speak of Python's types."""

from collections.abc import Mapping
from typing import Final, get_args

from pydantic import BaseModel, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

_WORDS: Final[Mapping[str, str]] = {
    "missing": "it is missing",
    "extra_forbidden": "there is no such field",
    "greater_than_equal": "at least {ge} is wanted",
    "less_than_equal": "at most {le} is wanted",
    "greater_than": "more than {gt} is wanted",
    "less_than": "less than {lt} is wanted",
    "string_pattern_mismatch": "text that matches the pattern {pattern} is wanted",
    "string_too_short": "at least {min_length} characters are wanted",
    "string_too_long": "at most {max_length} characters are wanted",
    "too_short": "at least {min_length} of them are wanted",
    "too_long": "at most {max_length} of them are wanted",
    "literal_error": "{expected} is wanted",
    "enum": "{expected} is wanted",
    "finite_number": "a number is wanted",
}
_KINDS: Final = {
    "int": "a whole number", "float": "a number", "bool": "true or false", "string": "text", "dict": "a table",
    "model": "a table", "mapping": "a table", "list": "a list", "tuple": "a list", "set": "a list",
    "frozen_set": "a list", "datetime": "a time as ISO 8601 text", "datetime_from_date": "a time as ISO 8601 text",
}  # fmt: skip
_KIND_FAULTS: Final = ("_type", "_parsing", "_from_float", "_parsing_size")


def in_words(problem: ErrorDetails) -> str:
    """Return what is wanted where a `problem` is; a value that is there is never told."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind in _WORDS:
        return _WORDS[kind].format_map(context)
    for end in _KIND_FAULTS:
        if (wanted := _KINDS.get(kind.removesuffix(end))) is not None:
            return f"{wanted} is wanted"
    told = problem["msg"].removeprefix("Value error, ")
    return f"{told[:1].lower()}{told[1:]}"


def refusal_in_words(error: BaseException | None) -> str | None:
    """Return what is wanted in place of the one value that pydantic refused; None if `error` is something else."""
    return in_words(error.errors()[0]) if isinstance(error, ValidationError) else None


class WholeNumbers(BaseModel):
    """Takes `true` for no number. Python takes it for 1."""

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_truth_value(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool) and _takes(cls.model_fields[str(info.field_name)].annotation, int):
            raise ValueError("a whole number is wanted")
        return value


def _takes(annotation: object, kind: type) -> bool:
    return annotation is kind or any(_takes(part, kind) for part in get_args(annotation))
