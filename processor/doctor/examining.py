"""All checks, in the order in which one would look."""

from collections.abc import Iterator, Sequence

from processor.codec.isotime import wall_ms
from processor.doctor.finding import Finding, State
from processor.doctor.on_cluster import missing, of_cluster
from processor.doctor.on_store import of_store
from processor.doctor.on_work import of_work
from processor.errors import A3CPError
from processor.kafka.overview.cluster import look
from processor.settings.model import Settings


def examine(settings: Settings, roots: Sequence[str]) -> Iterator[Finding]:
    """Yield what each check found. Work is looked at only where the topics are there.

    Args:
        settings: say where all is.
        roots: where bundles are to go, beside those that the store has exported to.
    """
    partitions = stored = 0
    try:
        cluster = look(settings.kafka_conf(), settings.topics())
        yield from of_cluster(cluster, settings)
        counts = {seen.topic.partitions for seen in cluster.topics.values()}
        if len(counts) == 1 and not missing(cluster, settings):
            (partitions,) = counts
            yield from of_work(cluster, settings, partitions, wall_ms)
            names = settings.topics()
            stored = partitions if cluster.hidden.isdisjoint((names.tagged, names.sessions)) else 0
    except A3CPError as error:
        yield Finding("broker", State.WRONG, error.what, error.remedy)
    yield from of_store(settings, roots, stored)
