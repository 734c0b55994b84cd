"""What can go wrong with a store: the exporter's branch of the error tree."""

from processor.core.errors import A3CPError


class StoreUnavailable(A3CPError):
    """The store does not answer at the moment: start again from what it holds, with backoff."""


class StoreMoved(A3CPError):
    """Another exporter has written a partition meanwhile: forget what is in memory, go on from what the store holds."""
