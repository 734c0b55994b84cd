"""The W3C trace context in a record's headers: which trace the record belongs to, and what it was caused by."""

import re
from collections.abc import Sequence
from typing import Final

from processor.codec.headers import Headers

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
TRACESTATE_BYTES_MAX: Final = 512  # a longer one need not be passed on, says W3C

_parts: Final = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})").fullmatch
_SAMPLED: Final = 1
_TRACE_ID: Final = slice(3, 35)


def trace_of(headers: Sequence[tuple[str, bytes | None]] | None) -> Headers | None:
    """Return those of `headers` that say the trace, to be put on what the record causes; None if it has no trace."""
    if not headers:
        return None
    told = dict(reversed(headers))  # Of several the first counts.
    traceparent, state = told.get(TRACEPARENT), told.get(TRACESTATE)
    if _parts(traceparent or b"") is None:
        return None
    trace: Headers = [(TRACEPARENT, traceparent)]
    if state and len(state) <= TRACESTATE_BYTES_MAX:
        trace.append((TRACESTATE, state))
    return trace


def traceparent_of(headers: Sequence[tuple[str, bytes | None]] | None) -> str | None:
    """Return the `traceparent` among `headers`; None if they have none."""
    parts = _parts_of(headers)
    return None if parts is None else parts[0].decode()


def trace_id_in(traceparent: str | None) -> str | None:
    """Return the trace that a `traceparent` of `traceparent_of` names, 32 hex digits; None if there is none."""
    return None if traceparent is None else traceparent[_TRACE_ID]


def is_sampled(headers: Sequence[tuple[str, bytes | None]] | None) -> bool:
    """Return whether `headers` name a trace that is recorded."""
    parts = _parts_of(headers)
    return parts is not None and bool(int(parts[2], 16) & _SAMPLED)


def _parts_of(headers: Sequence[tuple[str, bytes | None]] | None) -> re.Match[bytes] | None:
    trace = trace_of(headers)
    return None if trace is None else _parts(trace[0][1] or b"")
