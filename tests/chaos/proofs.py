"""What must hold at the end, whatever happened. Each proof returns what is wrong; nothing is well."""

import json
from collections import Counter
from collections.abc import Iterator

from processor.bundles.verify import verify
from processor.codec.events import from_json
from tests.broker.audit import read_topic
from tests.chaos.deployment import Deployment


def wrong(runs: Deployment) -> list[str]:
    """Return all that is wrong. The audit of the topics comes before: it raises."""
    customers = (trouble for customer in runs.customers for trouble in customer.trouble)
    return [*customers, *_lost(runs), *_commands(runs), *_spoken(runs), *_bundles(runs)]


def _lost(runs: Deployment) -> Iterator[str]:
    """All of the load is in the log."""
    rows = (row for rows in read_topic(runs.bootstrap, runs.fleet.names.raw) for row in rows)
    count = sum((row.key or b"").startswith(b"user-") for row in rows)
    if count != runs.load.count:
        yield f"{runs.load.count} messages were sent, and {count} are in the log"


def _commands(runs: Deployment) -> Iterator[str]:
    """Each command that was answered happened once, and no other one did."""
    rows = (row for rows in read_topic(runs.bootstrap, runs.fleet.names.sessions) for row in rows)
    views = [from_json(row.value or b"") for row in rows if (row.key or b"").startswith(b"carer-")]
    happened = Counter((view.kind, view.session_id, view.details) for view in views)
    answered = sum((carer.done for carer in runs.carers), Counter[str]())
    for kind, count in answered.items():
        times = [times for what, times in happened.items() if what[0] == kind]
        if len(times) != count or max(times) != 1:
            yield f"{count} times {kind} was answered; it happened {sum(times)} times, to {len(times)} different things"


def _spoken(runs: Deployment) -> Iterator[str]:
    """What a speaker said is tagged in order and once; what came again is flagged."""
    rows = [row for rows in read_topic(runs.bootstrap, runs.fleet.names.tagged) for row in rows]
    for speaker in runs.speakers:
        told = [json.loads(row.value or b"") for row in rows if row.key == speaker.name.encode()]
        numbers = [int(each["record_id"][-12:], 16) for each in told if "duplicate" not in each["session_flags"]]
        if numbers != list(range(1, speaker.said + 1)):
            at = next((n for n, number in enumerate(numbers, 1) if n != number), len(numbers))
            yield f"{speaker.name} said {speaker.said} things; {len(numbers)} are tagged, and not in order from {at} on"


def _bundles(runs: Deployment) -> Iterator[str]:
    """Each bundle is whole and unaltered."""
    for bundle in verify(str(runs.exporter.root)):
        if not bundle.is_sound:
            yield f"bundle {bundle.path} is broken"
