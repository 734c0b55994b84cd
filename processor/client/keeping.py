"""Opens an outbox on a Kafka."""

from pathlib import Path

from processor.kafka.producer import RecordProducer
from processor.outbox.outbox import Outbox
from processor.outbox.ports import Watcher
from processor.outbox.queue import Queue
from processor.settings.model import Settings


def open_outbox(path: Path, settings: Settings, watcher: Watcher) -> Outbox:
    """Return the outbox at `path`, begun, before the Kafka of `settings`.

    Raises:
        UsageError: the file is another process's or cannot be made, a property is wrong, or the topics do not exist.
    """
    raw = settings.raw_to_write()

    def connect() -> RecordProducer:
        return RecordProducer({"linger.ms": 0, **settings.kafka_conf()}, raw, queue_wait_s=0)

    queue = Queue(path)
    try:
        outbox = Outbox(
            connect,
            queue,
            watcher=watcher,
            bytes_max=settings.outbox_bytes_max,
            age_ms_max=settings.outbox_age_max_ms,
        )
    except BaseException:
        queue.close()
        raise
    outbox.start()
    return outbox
