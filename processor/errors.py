"""The error tree. A class answers one question: what happens next?

A3CPError
├── RecordError            dead-letter the record, go on
│   ├── DecodeError          its bytes cannot be read
│   │   └── SchemaUnknown      who reads it has not the schema that it was written with; another reader may
│   │       └── NoRegistry     since no registry is configured here: a proof cannot be had, a dead letter can
│   └── InvalidMessage       it can be read but not tagged (rule R16)
├── Aborted                the transaction is undone for certain: undo the batch in memory, read it again
├── OwnershipLost          drop the partition's task, rejoin the group
├── OutcomeUnknown         new producer, abort, restore, go on
├── BrokerUnavailable      retry with backoff, not ready meanwhile
├── OutboxFull             the record was not taken: keep it, send it again later
├── RecordsGone            what was to be read next was removed from the log: begin again from another source
├── RegistryUnavailable    what needs it waits, and is tried again; never guess a schema
├── StoreUnavailable       start again from what the store holds, with backoff
├── StoreMoved             forget what is in memory, go on from what the store holds
├── TargetUnavailable      what was written stays; try again, with backoff
├── WebhookFailed          dead-letter what was to be told, go on
├── UsageError             tell the caller what to do instead
│   └── NoKafka              none is named and none runs; what needs none may go on
└── Fatal                  stop

A message says what happened and where, a remedy what to do; lower case, no payload, no personal data.
"""

from typing import ClassVar


class A3CPError(Exception):
    """What went wrong, in words a person understands, and the `remedy`: what to do about it."""

    exit_code: ClassVar[int] = 1  # of a command that ends with it

    def __init__(self, what: str, *, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}" if self.remedy else self.what


class RecordError(A3CPError):
    """A record is at fault, not the system."""


class DecodeError(RecordError):
    """The bytes of a record cannot be read."""


class SchemaUnknown(DecodeError):
    """The schema of a record is not known here: no registry, another one, or another release's schema."""


class NoRegistry(SchemaUnknown):
    """The record names a schema by its id in a registry, and no registry is configured here."""


class InvalidMessage(RecordError):
    """A record can be read, but lacks what tagging needs (rule R16)."""


class Aborted(A3CPError):
    """The transaction was aborted, and nobody else has written: what was committed before it still stands."""


class OwnershipLost(A3CPError):
    """Another member owns the partition now."""


class OutcomeUnknown(A3CPError):
    """A transaction may or may not have been committed."""


class BrokerUnavailable(A3CPError):
    """No broker answers at the moment."""


class OutboxFull(A3CPError):
    """No broker answers, and the outbox has no room for what was to be sent."""


class RecordsGone(A3CPError):
    """Records were removed from the log before they were read: by retention, or with their topic."""


class RegistryUnavailable(A3CPError):
    """The schema registry does not answer at the moment."""


class WebhookFailed(A3CPError):
    """The receiver of a webhook has not taken it, and trying on is no use."""


class UsageError(A3CPError):
    """The caller asked for something that cannot be."""

    exit_code = 2


class NoKafka(UsageError):
    """No Kafka is named, and the embedded one does not run."""


class Fatal(A3CPError):
    """Going on would risk the guarantees."""


class StoreUnavailable(A3CPError):
    """The store does not answer at the moment: start again from what it holds, with backoff."""


class StoreMoved(A3CPError):
    """Another exporter has written the same meanwhile: forget what is in memory, go on from what the store holds."""


class TargetUnavailable(A3CPError):
    """Bundles cannot be written where they should be: full, read-only or away. What was there before is there still."""
