"""What the client's errors become: a missing right is told with who lacks it, on what, and where all rights are."""

import pytest
from confluent_kafka import KafkaError

from processor.errors import Fatal
from processor.kafka.failures import failure

GIVEN = {"sasl.username": "a3cp-producer"}


@pytest.mark.parametrize(
    ("code", "conf", "needs", "told"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, GIVEN, "Write on topic t", "User:a3cp-producer Write on topic t"),
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, GIVEN, "Write on topic t", "User:a3cp-producer Write on topic t"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, {}, "", "this principal the right on that topic"),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, GIVEN, "Read on topic t", "User:a3cp-producer Read on its consumer"),
        (
            KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            {"sasl.oauthbearer.client.id": "ann"},
            "",
            "User:ann Write on transactional ids that begin with A3CP_GROUP_ID",
        ),
    ],
)
def test_a_missing_right(code: int, conf: dict[str, str], needs: str, told: str) -> None:
    error = failure("writing to t", KafkaError(code), conf=conf, needs=needs, in_transaction=True)
    assert isinstance(error, Fatal)
    assert str(error).startswith("writing to t: ")
    assert f"give {told}" in str(error)
    assert str(error).endswith("; ops/acl has what each principal needs (docs/security.md)")
