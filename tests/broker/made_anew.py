"""Deletes topics and makes them again, as an operator might."""

from confluent_kafka.admin import AdminClient

from processor.kafka.identities import identities
from processor.kafka.topics.admin import ensure_topics
from processor.runtime.identities import CLUSTER
from tests.broker.fleet import await_true
from tests.contracts.worlds import PARTITIONS


def make_anew(bootstrap: str, prefix: str, *words: str) -> None:
    """Delete topics and make them again."""
    conf = {"bootstrap.servers": bootstrap}
    admin = AdminClient({**conf})
    names = {word: f"{prefix}.{word}" for word in words}
    for future in admin.delete_topics(list(names.values())).values():
        future.result()
    await_true("they are gone", lambda: identities(admin, names).keys() == {CLUSTER})
    ensure_topics(conf, prefix, partitions=PARTITIONS)
    await_true("they are back", lambda: identities(admin, names).keys() == {CLUSTER, *words})
