"""Dead letters: a record that cannot be tagged, set aside unchanged with the reason (topic `a3cp.dlq`).

Raw media and partial transcripts must not be kept anywhere: their bytes are replaced by hash and size.
"""

import json
from enum import Enum
from hashlib import sha256
from typing import Final

from processor.core.errors import A3CPError
from processor.ports import Headers, Output, RawRecord
from processor.runtime.withholding import why_withheld

WITHHELD: Final = "a3cp-dlq-withheld"


class Stage(Enum):
    """How far a record came before it turned out that it cannot be tagged."""

    DECODE = "decode"
    VALIDATE = "validate"
    SIZE = "size"


def dead_letter(record: RawRecord, error: A3CPError, stage: Stage, *, topic: str, raw_topic: str) -> Output:
    """Return the dead letter of `record`: key, value and headers as they came, and headers that say where and why."""
    value = record.value()
    _, append_ms = record.timestamp()
    headers: Headers = [(name, content or b"") for name, content in record.headers() or ()]
    described = {
        "topic": raw_topic,
        "partition": record.partition(),
        "offset": record.offset(),
        "timestamp": append_ms,
        "stage": stage.value,
        "error": type(error).__name__,
        "message": str(error),
        "sha256": sha256(value or b"").hexdigest(),
        "size": len(value or b""),
    }
    headers += [(f"a3cp-dlq-{name}", str(content).encode()) for name, content in described.items()]
    kept = value
    why = why_withheld(value or b"")
    if why is not None:
        headers.append((WITHHELD, why.encode()))
        kept = json.dumps({"withheld": why, "sha256": described["sha256"], "size": described["size"]}).encode()
    return topic, kept, record.key(), record.partition(), headers
