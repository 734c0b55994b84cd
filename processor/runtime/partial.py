"""How partial transcripts are recognised: by what a message says of itself, in any way that recognisers have."""

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any, Final, NamedTuple

from processor.runtime.media import squeezed

_UNDONE: Final = r"partial|interim|provisional|tentative|intermediate|unstable"
_SPOKEN: Final = r"transcript(?:ion)?|text|speech|utterance|hypothes[ie]s"
# Names that say yes, whatever else the message has: is_partial, partialTranscript, interim-text.
_SURE: Final = re.compile(rf"is(?:{_UNDONE})|(?:is)?(?:{_UNDONE})(?:{_SPOKEN})s?").fullmatch
_UNSURE: Final = re.compile(rf"(?:has)?(?:{_UNDONE})(?:results?|segments?)?").fullmatch
_FINAL: Final = re.compile(
    r"(?:is)?(?:final|finali[sz]ed|complete|completed)(?:result|transcript|transcription)?"
).fullmatch
_KIND: Final = re.compile(
    r"(?:transcript(?:ion)?|recognition|result|speech|asr|message|segment|utterance)?(?:status|state|type|kind|stage|phase)"
    r"|finality|stability|reason|event|result"
).fullmatch
_KIND_WORDS: Final = re.compile(
    rf"(?<![a-z])(?:{_UNDONE}|partials|hypothesis|incomplete|recogni[sz]ing|delta|(?:not|non)[^a-z]?final)(?![a-z])"
).search
_SPEECH: Final = re.compile(
    r"\w*(?:transcript(?:ion)?|utterance)s?|(?:context)?partnerspeech|speech|text|alternatives|hypothes[ie]s|words"
).fullmatch
_ORIGIN: Final = re.compile(r"modality|source|sourcemodule").fullmatch
_SPEAKS: Final = re.compile(r"speech|transcri|(?<![a-z])(?:asr|stt)(?![a-z])").search
_TEXT_CHARS_MAX: Final = 100  # of a word for a kind or a state
_NO: Final = frozenset({"", "0", "false", "f", "no", "n", "none", "null", "off", "final"})
_YES: Final = frozenset({"1", "true", "t", "yes", "y", "on"})


class Role(Enum):
    """What a field can say about a partial transcript."""

    SURE = "that it is one"
    UNSURE = "that something is partial"
    FINAL = "that something is final"
    KIND = "what it is"
    SPEECH = "what was said"
    ORIGIN = "where it comes from"


_ROLES: Final = (
    (Role.ORIGIN, _ORIGIN), (Role.SURE, _SURE), (Role.UNSURE, _UNSURE), (Role.FINAL, _FINAL), (Role.SPEECH, _SPEECH),
    (Role.KIND, _KIND),
)  # fmt: skip


class PartialNames(NamedTuple):
    """The names in a mapping that say something about a partial transcript, each with its role."""

    marks: tuple[tuple[str, Role], ...]
    speech: tuple[tuple[str, Role], ...]


def partial_names(names: Iterable[str]) -> PartialNames:
    """Return the names that say something about a partial transcript."""
    roles = [(name, role) for name in names if (role := _role_of(name))]
    spoken = (Role.SPEECH, Role.ORIGIN)
    return PartialNames(
        tuple(pair for pair in roles if pair[1] not in spoken), tuple(pair for pair in roles if pair[1] in spoken)
    )


def is_partial(seen: Iterable[tuple[Mapping[str, Any], PartialNames]]) -> bool:
    """Return whether a message is a partial transcript. `seen` has its mappings, each with its `partial_names`."""
    marks = {_mark(role, fields[name]) for fields, names in seen for name, role in names.marks}
    if _Mark.SURE in marks:
        return True
    return _Mark.MAYBE in marks and any(
        _speaks(role, fields[name]) for fields, names in seen for name, role in names.speech
    )


class _Mark(Enum):
    SURE = "it is one"
    MAYBE = "it is one if it has to do with speech"
    NONE = "nothing"


def _mark(role: Role, value: object) -> _Mark:
    match role:
        case Role.KIND:
            is_marked = isinstance(value, str) and len(value) <= _TEXT_CHARS_MAX and _is_partial_kind(value)
        case Role.FINAL:
            is_marked = _is_no(value)
        case _:
            is_marked = _is_yes(value)
            is_text = isinstance(value, str) and value.strip().lower() not in _YES  # The transcript itself.
            if is_marked and (role is Role.SURE or is_text):
                return _Mark.SURE
    return _Mark.MAYBE if is_marked else _Mark.NONE


def _role_of(name: str) -> Role | None:
    plain = squeezed(name)
    return next((role for role, form in _ROLES if form(plain)), None)


def _speaks(role: Role, value: object) -> bool:
    if role is Role.SPEECH:
        return bool(value)
    return isinstance(value, str) and _SPEAKS(value.lower()) is not None


@lru_cache(maxsize=1_024)  # There are few words for kinds and states.
def _is_partial_kind(text: str) -> bool:
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)  # the humps of camelCase
    return _KIND_WORDS(apart.lower()) is not None


def _is_yes(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() not in _NO
    return bool(value)


def _is_no(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in _NO - {"", "final", "none", "null"}
    return value is not None and not isinstance(value, list | Mapping) and not value
