"""Replaying into a real topic: keys, bytes and order are those that came."""

import pytest

from processor.bundles.bundle import write_bundle
from processor.bundles.reading import read_records
from processor.kafka.reading.reader import Reader
from processor.targets.target import Target
from tests.broker.commands import Commands
from tests.sessions.views import CODEC, NOW_MS, day_view

pytestmark = pytest.mark.broker


def test_a_bundle_into_a_topic(kafka, topics, tmp_path):
    """A session in JSON and one in Avro come out as they went in; what was withheld is told, and not sent."""
    a3cp = Commands(kafka, topics)
    topic = f"{topics}.raw"
    wanted = []
    for user_id, code in (("wren-03", 0), ("otter-12", 1)):
        path = write_bundle(Target(str(tmp_path)), day_view(user_id), CODEC, now_ms=NOW_MS).path
        kept = [record.content for record in read_records(Target(path)) if record.content is not None]
        wanted += [(user_id.encode(), content) for content in kept]
        told = a3cp.json("replay", path, "--to", topic, "--speed", "max", code=code)
        assert (told["sent"], len(told["withheld"])) == (len(kept), code)
    with Reader({"bootstrap.servers": kafka}, topic) as reader:
        found = [(record.key, record.value) for record in reader.read_all()]
    for key in (b"wren-03", b"otter-12"):
        assert [pair for pair in found if pair[0] == key] == [pair for pair in wanted if pair[0] == key]
    assert len(found) == len(wanted)
