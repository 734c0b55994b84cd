"""What can go wrong with a store or a target of bundles: the exporter's branch of the error tree."""

from processor.core.errors import A3CPError


class StoreUnavailable(A3CPError):
    """The store does not answer at the moment: start again from what it holds, with backoff."""


class StoreMoved(A3CPError):
    """Another exporter has written a partition meanwhile: forget what is in memory, go on from what the store holds."""


class TargetUnavailable(A3CPError):
    """Bundles cannot be written where they should be: full, read-only or away. What was there before is there still."""
