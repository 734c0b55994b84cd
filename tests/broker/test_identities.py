"""The ids of cluster and topics on a real Kafka."""

import pytest
from confluent_kafka.admin import AdminClient

from processor.identities import CLUSTER, differing
from processor.kafka.identities import identities
from processor.kafka.topic_admin import ensure_topics
from tests.broker.fleet import await_true

pytestmark = pytest.mark.broker


def test_a_topic_made_anew_is_another(kafka: str, topics: str) -> None:
    """Ids stay as long as the topic does; one that was deleted and made again under its name has another id."""
    conf = {"bootstrap.servers": kafka}
    admin = AdminClient({**conf})
    names = {role: f"{topics}.{role}" for role in ("raw", "state")}
    before = identities(admin, names)
    assert before.keys() == {CLUSTER, "raw", "state"}
    assert identities(admin, names) == before
    admin.delete_topics([names["raw"]])[names["raw"]].result()
    await_true("it is gone", lambda: "raw" not in identities(admin, names))
    assert differing(before, identities(admin, names)) == []  # One that is not there is no other.
    ensure_topics(conf, topics, partitions=4)
    await_true("it is back", lambda: "raw" in identities(admin, names))
    assert differing(before, identities(admin, names)) == ["raw"]
