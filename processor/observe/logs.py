"""The log: JSON lines {timestamp, level, component, operation, message, metadata}, or readable ones on a terminal.

An entry about one session has its `session_id` beside `message`.

Who is served stays out of it. At INFO and above the ids of users and performers are left out, or with A3CP_LOG_KEY
replaced by a keyed hash, the same for the same id; session ids, random enough to be hashed without a key, are always
hashed. At DEBUG, for a developer's own machine, ids are in clear. Values whose name speaks of a secret never are.
"""

import hmac
import json
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from processor.codec.isotime import format_time, wall_ms
from processor.settings.addresses import MASK, masked
from processor.settings.documents import located

if TYPE_CHECKING:
    from processor.settings.model import Settings

REDACTED: Final = MASK
LEFT_OUT: Final = "[left out]"
PERSONS: Final = frozenset({"user_id", "performer_id", "subject"})
SESSIONS: Final = frozenset({"session_id", "previous_session_id", "claimed_session_id"})
HASH_HEX: Final = 12
DEPTH_MAX: Final = 6
NAMES_MAX: Final = 1_024  # of values, of which is remembered whether they speak of a secret

_SECRET_NAME: Final = re.compile(
    r"passw|passphrase|secret|token|jaas|credential|apikey|user\.info|(^|[._-])(key|pwd|auth)([._-]|$)", re.IGNORECASE
)
_SECRET_IN_TEXT: Final = re.compile(
    r"((?:passw(?:or)?d|passphrase|secret|token|jaas(?:\.config)?)[\w.]*[\"']?\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;]+)",
    re.IGNORECASE,
)
_encode: Final = json.JSONEncoder(ensure_ascii=False, default=str).encode
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def hashed(identifier: str, key: bytes = b"") -> str:
    """Return a short hash of an id: with a key nobody without it can test a guess, without one anybody can."""
    digest = hmac.digest(key, identifier.encode(), "sha256").hex() if key else sha256(identifier.encode()).hexdigest()
    return f"#{digest[:HASH_HEX]}"


def make_logger(
    component: str,
    *,
    level: str = "info",
    log_format: Literal["auto", "json", "console"] = "auto",
    key: str | None = None,
    stream: TextIO | None = None,
) -> FilteringBoundLogger:
    """Return a logger of `component`; `logger.bind(component=…)` makes that of another.

    Log with `logger.info("partitions assigned", operation="assign", partitions=[0, 1])`.

    Args:
        component: the part of the program that speaks.
        level: least level that is logged: debug, info, warning or error.
        log_format: `auto` is console on a terminal, else json.
        key: what ids are hashed with, see above.
        stream: where to; standard error when None.
    """
    out = stream or sys.stderr
    console = log_format == "console" or (log_format == "auto" and out.isatty())
    return cast(
        "FilteringBoundLogger",
        structlog.wrap_logger(
            structlog.WriteLogger(out),
            processors=[
                structlog.processors.add_log_level,
                _exception,
                _Private((key or "").encode()),
                _standard,
                _console if console else _json,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
            context_class=dict,
            component=component,
        ),
    )


def log_of(component: str, settings: "Settings", *, level: str | None = None) -> FilteringBoundLogger:
    """Return a logger of `component`, as the settings want it; `level` goes before theirs."""
    return make_logger(
        component, level=level or settings.log_level, log_format=settings.log_format, key=settings.log_key
    )


class _Private:
    """Takes ids and secrets out of an entry."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __call__(self, _: WrappedLogger, method: str, entry: EventDict) -> EventDict:
        clear = method == "debug"
        return {name: self._value(name, value, clear, 0) for name, value in entry.items()}

    def _value(self, name: str, value: object, clear: bool, depth: int) -> object:
        if value is None or isinstance(value, bool):
            return value
        if _is_secret(name):
            return REDACTED
        if name in PERSONS or name in SESSIONS:
            if clear:
                return value
            if name in PERSONS and not self._key:
                return LEFT_OUT
            return hashed(str(value), self._key)
        if isinstance(value, int | float):
            return value
        if isinstance(value, str):
            return _without_secrets(value)
        if depth == DEPTH_MAX:
            return "…"
        if isinstance(value, Mapping):
            return {str(inner): self._value(str(inner), below, clear, depth + 1) for inner, below in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            listed = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
            # The name in the plural speaks of what is in it: `user_ids`.
            return [self._value(name.removesuffix("s"), below, clear, depth + 1) for below in listed]
        return _without_secrets(str(value))


@lru_cache(maxsize=NAMES_MAX)
def _is_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def _without_secrets(text: str) -> str:
    text = masked(located(text))
    if "=" not in text and ":" not in text:  # Nothing follows a secret's name then. Most texts are such ones.
        return text
    return _SECRET_IN_TEXT.sub(lambda match: match[1] + REDACTED, text)


def _exception(_: WrappedLogger, __: str, entry: EventDict) -> EventDict:
    """Turn `exc_info` into text; of local variables it shows none."""
    exc_info = entry.pop("exc_info", None)
    if exc_info:
        error = exc_info if isinstance(exc_info, BaseException) else sys.exc_info()[1]
        if error is not None:
            entry["traceback"] = "".join(traceback.format_exception(error))
    return entry


def _standard(_: WrappedLogger, __: str, entry: EventDict) -> EventDict:
    ordered: MutableMapping[str, Any] = {
        "timestamp": format_time(wall_ms()),
        "level": entry.pop("level"),
        "component": entry.pop("component"),
        "operation": entry.pop("operation", ""),
        "message": entry.pop("event", ""),
    }
    if "session_id" in entry:
        ordered["session_id"] = entry.pop("session_id")
    ordered["metadata"] = dict(entry)
    return ordered


def _json(_: WrappedLogger, __: str, entry: EventDict) -> str:
    return _encode(entry)


def _console(_: WrappedLogger, __: str, entry: EventDict) -> str:
    when = entry["timestamp"][11:23]
    metadata = {name: entry[name] for name in ("session_id",) if name in entry} | entry["metadata"]
    trace = metadata.pop("traceback", None)
    fields = " ".join(f"{name}={_short(value)}" for name, value in metadata.items())
    where = f"{entry['component']}.{entry['operation']}" if entry["operation"] else entry["component"]
    line = f"{when} {entry['level']:<7} {where}: {entry['message']}{'  ' if fields else ''}{fields}"
    return f"{line}\n{trace.rstrip()}" if trace else line


def _short(value: object) -> str:
    return value if isinstance(value, str) and value and not re.search(r"[\s=\"]", value) else _encode(value)
