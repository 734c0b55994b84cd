"""Session tagging for A3CP messages: a pure fold over one Kafka log (see README.md)."""
