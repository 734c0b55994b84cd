"""The Python producer for modules: send messages, ask for things, know the outcome.

from processor.client import SessionClient

with SessionClient() as client:
    client.send({"schema_version": "1.0.1", "record_id": "…", "user_id": "elias01", "timestamp": "…", "source": "ui"})
    outcome = client.command("elias01", "start", performer_id="carer01")
    print(outcome.session_id)

Beside it, `service` has sessions over a service. `conversation.py`, `gateway.py`, `assessment.py` and `interview` stand
on those.
"""

from processor.client.commands import Arguments, CommandWord
from processor.client.outcomes import NoOutcome, Outcome
from processor.client.past import Past
from processor.client.session_client import SessionClient
from processor.errors import (
    A3CPError,
    BrokerUnavailable,
    DecodeError,
    InvalidMessage,
    RegistryUnavailable,
    UsageError,
)

__all__ = [
    "A3CPError",
    "Arguments",
    "BrokerUnavailable",
    "CommandWord",
    "DecodeError",
    "InvalidMessage",
    "NoOutcome",
    "Outcome",
    "Past",
    "RegistryUnavailable",
    "SessionClient",
    "UsageError",
]
