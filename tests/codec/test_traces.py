"""Which trace a record belongs to, by its headers (W3C Trace Context)."""

import pytest

from processor.codec.headers import Headers
from processor.codec.traces import TRACESTATE_BYTES_MAX, is_sampled, trace_id_in, trace_of, traceparent_of

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01".encode()
STATE = b"rojo=00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("title", "headers", "trace"),
    [
        ("none", None, None),
        ("others", [("baggage", b"a=1"), ("tracestate", STATE)], None),
        ("the trace alone", [("a", b"1"), ("traceparent", PARENT)], [("traceparent", PARENT)]),
        (
            "its state goes with it",
            [("tracestate", STATE), ("traceparent", PARENT)],
            [("traceparent", PARENT), ("tracestate", STATE)],
        ),
        ("an empty state is none", [("traceparent", PARENT), ("tracestate", b"")], [("traceparent", PARENT)]),
        (
            "too much state is left out",
            [("traceparent", PARENT), ("tracestate", b"x" * (TRACESTATE_BYTES_MAX + 1))],
            [("traceparent", PARENT)],
        ),
        ("the first counts", [("traceparent", PARENT), ("traceparent", b"another")], [("traceparent", PARENT)]),
        ("null", [("traceparent", None)], None),
        ("in capitals", [("traceparent", PARENT.upper())], None),
        ("version ff", [("traceparent", b"ff" + PARENT[2:])], None),
        ("no trace id", [("traceparent", b"00-" + b"0" * 32 + PARENT[35:])], None),
        ("no span id", [("traceparent", PARENT[:36] + b"0" * 16 + PARENT[52:])], None),
        ("too long", [("traceparent", PARENT + b"x" * 100_000)], None),
    ],
)
def test_the_trace_of_a_record(title: str, headers: Headers | None, trace: Headers | None) -> None:
    """What goes on is well-formed and small, whatever a producer sends."""
    assert trace_of(headers) == trace, title
    traceparent = traceparent_of(headers)
    assert traceparent == (PARENT.decode() if trace else None)
    assert trace_id_in(traceparent) == (TRACE_ID if trace else None)
    assert is_sampled(headers) == bool(trace)


def test_a_trace_that_is_not_recorded() -> None:
    """Its last two digits say so."""
    assert not is_sampled([("traceparent", PARENT[:-2] + b"00")])
