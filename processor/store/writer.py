"""Writes the store: the `SessionWriter` port."""

import contextlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from sqlalchemy import delete, select

from processor.errors import StoreMoved, UsageError
from processor.runtime.identities import CLUSTER, Identities, differing
from processor.sessions.ports import TAGGED, Place, Source
from processor.store import lookups
from processor.store.database import Database
from processor.store.notes import noted_once
from processor.store.removal import LAST_REMOVAL
from processor.store.tables import (
    EVENTS,
    MESSAGES,
    SOURCES,
    UNREADABLE,
    partition_and_offset,
    position_of,
)
from processor.store.transaction import SqlTransaction

_TOPICS: Final = "topics"
_ID_OF: Final = "id of {}"


class SqlWriter:
    """See `SessionWriter`."""

    def __init__(self, database: Database, layout: int) -> None:
        self._database = database
        self._layout = layout

    def follow(self, topics: str) -> None:
        """See `SessionWriter.follow`."""
        known = noted_once(self._database, {_TOPICS: topics})[_TOPICS]
        if known != topics:
            raise UsageError(
                f"the store {self._database.name} holds what is in {known}, not in {topics}",
                remedy="name another store with --store, or the right topics with --prefix",
            )

    def recognise(self, identities: Identities) -> None:
        """See `SessionWriter.recognise`. A store that was made before ids were kept takes those that it meets first."""
        names = {role: _ID_OF.format(role) for role in identities}
        held = noted_once(self._database, {names[role]: each for role, each in identities.items()})
        known = {role: held[name] for role, name in names.items()}
        others = differing(known, identities)
        if CLUSTER in others:
            raise UsageError(
                f"the store {self._database.name} was filled from the Kafka cluster {known[CLUSTER]}, and this one is "
                f"{identities[CLUSTER]}",
                remedy="name that cluster with --bootstrap, or export into a new store with --store",
            )
        if others:
            raise UsageError(
                f"the store {self._database.name} was filled from a former {' and '.join(others)}, "
                "deleted and made anew since",
                remedy="export into a new store with --store; the old one still holds what it held",
            )

    def note_reader(self, reader: str) -> bool:
        """See `SessionWriter.note_reader`. Who read what is there already is unknown when nobody was noted."""
        database = self._database
        with database.reading() as connection:
            known = lookups.readers(connection)
        noted_once(database, {f"{lookups.READER}{word}": word for word in (*sorted(known), reader)})
        return known <= {reader}

    def offsets(self) -> Mapping[Source, int]:
        """See `SessionWriter.offsets`."""
        with self._database.reading() as connection:
            return lookups.offsets(connection)

    def last_records(self) -> Mapping[Source, tuple[int, int]]:
        """See `SessionWriter.last_records`."""
        last = {}
        with self._database.reading() as connection:
            for topic, partition in connection.execute(select(SOURCES.c.topic, SOURCES.c.partition)).all():
                table = MESSAGES if topic == TAGGED else EVENTS
                query = select(table.c.position, table.c.append_ms).order_by(table.c.position.desc()).limit(1)
                query = query.where(
                    table.c.position.between(position_of(partition, 0), position_of(partition + 1, 0) - 1)
                )
                found = connection.execute(query).first()
                if found is not None:
                    last[topic, partition] = partition_and_offset(found.position)[1], found.append_ms
        return last

    @contextlib.contextmanager
    def transaction(self, offsets: Mapping[Source, tuple[int | None, int]]) -> Iterator[SqlTransaction]:
        """See `SessionWriter.transaction`."""
        with self._database.writing() as connection:
            yield SqlTransaction(connection, self._database.dialect, offsets, self._layout)

    @contextlib.contextmanager
    def correction(self, places: Sequence[Place]) -> Iterator[SqlTransaction]:
        """See `SessionWriter.correction`. Exporters that know a session from before forget it, as after a removal."""
        with self._database.writing(alone=True) as connection:
            for topic, partition, offset in places:
                position = position_of(partition, offset)
                here = delete(UNREADABLE).where(UNREADABLE.c.topic == topic, UNREADABLE.c.position == position)
                if connection.execute(here).rowcount != 1:
                    raise StoreMoved(f"another exporter has read {topic}[{partition}]@{offset} again")
            connection.execute(LAST_REMOVAL, {"value": secrets.token_hex(8)})
            yield SqlTransaction(connection, self._database.dialect, {}, self._layout)
