"""Turns librdkafka's errors into ours, by what has to happen next."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from processor.errors import A3CPError, BrokerUnavailable, Fatal, OutcomeUnknown, OwnershipLost, UsageError
from processor.kafka.lettingin import why_kept_out

_FENCED: Final = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError._ASSIGNMENT_LOST,
        KafkaError._MAX_POLL_EXCEEDED,
    }
)
_FENCED_MEMBER: Final = KafkaError(KafkaError.FENCED_INSTANCE_ID).str()  # A consumer tells this code as words only.
_OUTDATED: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.STALE_MEMBER_EPOCH,
    }
)
AWAY: Final = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._WAIT_COORD,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.CONCURRENT_TRANSACTIONS,
    }
)
REFUSED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError.INVALID_TRANSACTION_TIMEOUT,
        KafkaError._INVALID_ARG,
    }
)

NEEDED: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "the right on that topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "Read on its consumer group, or Describe to look at one",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "Write on transactional ids that begin with A3CP_GROUP_ID",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "the right on the cluster",
}
"""What is missing, by the broker's answer, where the caller does not know better."""


def error_of(exception: KafkaException | KafkaError) -> KafkaError:
    """Return the client's error inside `exception`."""
    error = exception.args[0] if isinstance(exception, KafkaException) else exception
    assert isinstance(error, KafkaError)
    return error


def is_outdated(exception: KafkaException) -> bool:
    """Whether a commit was refused only because the group has a new generation. Then aborting undoes it."""
    error = error_of(exception)
    return error.code() in _OUTDATED and error.txn_requires_abort() and not error.fatal()


def failure(
    doing: str,
    exception: KafkaException | KafkaError,
    *,
    in_transaction: bool = False,
    conf: Mapping[str, Any] = MappingProxyType({}),
    needs: str = "",
) -> A3CPError:
    """Return our error for a client's.

    Args:
        doing: what was being done, for the message.
        in_transaction: whether a transaction may be half done. Then an unclear error is `OutcomeUnknown`.
        conf: librdkafka's properties, which may tell who was refused.
        needs: the right on a topic that it takes, such as `Write on topic a3cp.raw`. Whoever may write none at all is
            refused by the cluster.
    """
    error = error_of(exception)
    code, text = error.code(), f"{doing}: {error.str()}"
    if code in NEEDED:
        return Fatal(text, remedy=_right_to_give(code, conf, needs))
    if code in REFUSED:
        return Fatal(text, remedy="check the credentials, the rights (docs/security.md) and the [kafka] settings")
    if code in _FENCED or _FENCED_MEMBER in text:
        return OwnershipLost(
            text, remedy="if it goes on, two workers run in the same slot: give each its own A3CP_SLOT"
        )
    if in_transaction:
        return OutcomeUnknown(text)
    if code in AWAY or error.retriable():
        return BrokerUnavailable(text, remedy="see that the broker runs, and that it is the one that is named")
    return Fatal(text) if error.fatal() else OutcomeUnknown(text)


def may_pass(exception: KafkaException) -> bool:
    """Whether the same question may have an answer a moment later."""
    return usage_error(exception) is None and isinstance(failure("", exception), BrokerUnavailable | OutcomeUnknown)


def _right_to_give(code: int, conf: Mapping[str, Any], needs: str) -> str:
    """Return what an operator has to do if the broker's answer `code` tells that a right is missing."""
    login = conf.get("sasl.username") or conf.get("sasl.oauthbearer.client.id")
    who = f"User:{login}" if login else "this principal"
    is_of_topics = code in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
    what = needs if needs and is_of_topics else NEEDED[code]
    return f"give {who} {what}; ops/acl has what each principal needs (docs/security.md)"


def usage_error(exception: Exception) -> UsageError | None:
    """Return our error for a property that the client refuses. Returns None for any other error."""
    if not isinstance(exception, KafkaException) or error_of(exception).code() != KafkaError._INVALID_ARG:
        return None
    return UsageError(
        f"the Kafka client refuses a property: {error_of(exception).str()}",
        remedy="mend it in [kafka] of a3cp.toml, or the A3CP_KAFKA__ variable",
    )


def no_topic(*names: str) -> UsageError:
    """Return what to raise where topics of these names do not exist."""
    return UsageError(
        f"no topic {', '.join(names)}",
        remedy="make the topics with a3cp topics apply; one that is there is not seen without the right Describe on it",
    )


def unreachable(doing: str, error: KafkaException, conf: Mapping[str, Any], *, needs: str = "") -> A3CPError:
    """Return our error for a client's, outside of the processor: it names the address that was tried."""
    outcome = usage_error(error) or failure(doing, error, conf=conf, needs=needs)
    if isinstance(outcome, BrokerUnavailable | OutcomeUnknown):
        servers = conf.get("bootstrap.servers", "")
        if why := why_kept_out(conf):
            return BrokerUnavailable(
                f"the broker at {servers} lets nobody in with these [kafka] settings: {why}",
                remedy="check security.protocol, certificates and login (docs/security.md)",
            )
        return BrokerUnavailable(
            f"no Kafka broker answers at {servers}",
            remedy="start one with a3cp broker up, or name another with --bootstrap or KAFKA_BOOTSTRAP_SERVERS",
        )
    return outcome


@contextmanager
def reaching(doing: str, conf: Mapping[str, Any], *, needs: str = "") -> Iterator[None]:
    """Turn the client's errors into ours, by `unreachable`."""
    try:
        yield
    except KafkaException as error:
        raise unreachable(doing, error, conf, needs=needs) from error
