"""What can go wrong with the embedded broker, each with what to do about it."""

from processor.errors import BrokerUnavailable, Fatal, UsageError


class PortTaken(UsageError):
    """Another process listens on the port that was asked for."""


class FetchFailed(BrokerUnavailable):
    """Kafka's jars could not be fetched, or are not the pinned ones."""


class NoSpace(Fatal):
    """The disk has no room for the jars or for the broker's data."""


class NoJava(Fatal):
    """The Java runtime cannot be run."""


class BrokerFailed(Fatal):
    """The broker's process ended, or did not get ready or stop in time."""
