"""Which Kafka a command means."""

import os

from processor.core.errors import UsageError


def kafka_conf(bootstrap: str | None = None) -> dict[str, str | int | float | bool]:
    """Return librdkafka properties for the named Kafka (option, environment), else for the running embedded one.

    Raises:
        UsageError: none is named and none runs.
    """
    from processor.broker import bootstrap_of_running

    servers = bootstrap or os.environ.get("KAFKA_BOOTSTRAP_SERVERS") or bootstrap_of_running()
    if not servers:
        raise UsageError(
            "no Kafka is named and the embedded one does not run",
            remedy="start it with a3cp broker up, or set KAFKA_BOOTSTRAP_SERVERS",
        )
    return {"bootstrap.servers": servers}
