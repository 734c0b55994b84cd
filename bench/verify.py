"""Whether a drain's output is complete and right, judged from the input by other code than the system's own."""

from collections import defaultdict
from typing import Any

from bench.cluster import Cluster
from bench.messages import OURS_EVENT, OURS_RAW, OURS_TAGGED, PEER_EVENT, PEER_RAW, PEER_TAGGED, decode
from bench.scale import GAP_MS
from bench.systems import System


class Wrong(Exception):
    """The output is not what the input asks for; nothing measured with it counts."""


def verify(cluster: Cluster, system: System, count: int) -> str:
    """Return in words what was found to be right.

    Raises:
        Wrong: a message is missing, doubled, altered, out of order or in the wrong session.
    """
    raw = _by_key(cluster, system.raw)
    tagged = _by_key(cluster, system.tagged)
    messages_in, messages_out = (sum(map(len, by_key.values())) for by_key in (raw, tagged))
    if (messages_in, messages_out) != (count, count) or raw.keys() != tagged.keys():
        raise Wrong(
            f"{messages_in} messages in, {messages_out} out, {count} wanted; {len(raw)} and {len(tagged)} users"
        )
    if system.kind == "bare":
        for key, values in raw.items():
            if values != tagged[key]:
                raise Wrong("a user's messages differ or are out of order")
        return f"all {count:,} messages once, unaltered, in order"
    sessions = 0
    ids: set[str] = set()
    for key, values in raw.items():
        session_id, last_ms, seq = "", None, 0
        for value_in, value_out in zip(values, tagged[key], strict=True):
            timestamp_ms, content, its_id, its_seq, flags = _tag_of(system, value_in, value_out)
            if not content or flags:
                raise Wrong(f"a message was altered or is flagged {flags}")
            if last_ms is None or timestamp_ms - last_ms > GAP_MS:
                if its_id in ids:
                    raise Wrong("a session id is used twice")
                session_id, seq, sessions = its_id, 0, sessions + 1
                ids.add(its_id)
            seq += 1
            last_ms = max(timestamp_ms, last_ms or 0)
            if (its_id, its_seq) != (session_id, seq):
                raise Wrong(f"message {seq} of a session is numbered {its_seq} in another or the same")
    started, ended = _boundaries(cluster, system)
    if started != ids or not ended <= ids or len(ended) < sessions - len(raw):
        raise Wrong(f"{sessions} sessions, but {len(started)} were told to start and {len(ended)} to end")
    return (
        f"all {count:,} messages once, unaltered, in order, {sessions:,} sessions right, {len(ended):,} of them ended"
    )


def _by_key(cluster: Cluster, topic: str) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = defaultdict(list)
    for record in cluster.read_all(topic):
        key, value = record.key(), record.value()
        assert isinstance(key, bytes)
        assert isinstance(value, bytes)
        found[key].append(value)
    return found


def _tag_of(system: System, value_in: bytes, value_out: bytes) -> tuple[int, bool, str, int, Any]:
    """Return the time, whether the content is the same, the session id, the number and the flags of a message."""
    if system.kind == "kstreams":
        before, after = decode(PEER_RAW, value_in, 5), decode(PEER_TAGGED, value_out, 5)
        return before["timestamp"], after | before == after, after["session_id"], after["seq"], ()
    before, after = decode(OURS_RAW, value_in, 10), decode(OURS_TAGGED, value_out, 10)
    claim = before.pop("session_id")
    same = after | before == after and after["claimed_session_id"] == claim
    moment_ms = round(before["timestamp"].timestamp() * 1000)
    return moment_ms, same, after["session_id"], after["session_seq"], after["session_flags"]


def _boundaries(cluster: Cluster, system: System) -> tuple[set[str], set[str]]:
    started: set[str] = set()
    ended: set[str] = set()
    topic = f"{system.prefix}.{'sessions' if system.kind == 'ours' else 'events'}"
    for record in cluster.read_all(topic):
        value = record.value()
        assert isinstance(value, bytes)
        event = decode(OURS_EVENT, value, 10) if system.kind == "ours" else decode(PEER_EVENT, value, 5)
        its = {"start": started, "started": started, "end": ended, "ended": ended}.get(event["kind"])
        if its is None:
            continue
        if event["session_id"] in its:
            raise Wrong("a boundary was told twice")
        its.add(event["session_id"])
    return started, ended
