"""Checks of where an exporter writes: the store, and the roots of bundles."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from processor.doctor.finding import Finding, State, found
from processor.errors import StoreUnavailable, UsageError
from processor.kafka.offsets import extents
from processor.removal.roots import unnamed_roots
from processor.settings.addresses import masked
from processor.settings.model import Settings
from processor.targets.target import Target
from processor.upstream.words.counting import counted
from processor.wiring import recognise, store_of

if TYPE_CHECKING:
    from processor.store.sql import SqlStore  # Of an extra.


def of_store(settings: Settings, roots: Sequence[str], partitions: int) -> Iterator[Finding]:
    """Yield a finding for the store, and for each root: those given, and those that the store has exported to.

    Args:
        settings: name the store.
        roots: where bundles are to go.
        partitions: how many each topic has; 0 if that cannot be asked.
    """
    known: list[str] = []
    try:
        with closing(store_of(settings, must_exist=True)) as store:
            if partitions:
                yield found("store", partial(behind, store, settings, partitions))
            known = [root for root in unnamed_roots(store.ledger.targets(), map(Target, roots)) if "://" not in root]
    except UsageError as error:
        yield Finding("store", State.UNSEEN, error.what, error.remedy)
    except StoreUnavailable as error:
        yield Finding("store", State.LOOK, error.what, error.remedy)
    except ModuleNotFoundError as error:  # A worker does without.
        what = f"no store can be opened without the package {error.name}"
        yield Finding("store", State.UNSEEN, what, "install the extra export, and postgres for PostgreSQL")
    for root in (*roots, *known):
        yield found("bundle root", partial(writable, root))


def behind(store: "SqlStore", settings: Settings, partitions: int) -> Finding:
    """Compare how far the store is with what the topics hold.

    Raises:
        UsageError: it was filled from other topics.
    """
    stored, topics = recognise(store, settings), settings.topics().outputs
    places = {(kind, number): (name, number) for kind, name in topics.items() for number in range(partitions)}
    there = extents(settings.kafka_conf(), places.values())
    waiting = 0
    for source, (topic, number) in places.items():
        start, end = there[topic, number]
        reached = stored.get(source, start)
        if reached < start:
            what = f"{store.name} lacks {topic}[{number}]@{reached} to {start - 1}: removed before they were exported"
            return Finding("store", State.LOOK, what, "keep exporters running, or the topics' records for longer")
        waiting += end - reached
    if waiting:
        what = f"{store.name} is {counted(waiting, 'offset')} behind"
        return Finding("store", State.LOOK, what, "fine if an exporter is at work; else start a3cp export")
    return Finding("store", State.OK, f"{store.name} has all that the topics hold")


def writable(root: str) -> Finding:
    """Check that bundles can be written below `root`, or that it can be made; nothing is written.

    Raises:
        A3CPError: it cannot be reached.
    """
    target = Target(root)
    if not target.is_local:
        return Finding("bundle root", State.UNSEEN, f"{masked(root)} is not on this machine", "a3cp export tries it")
    place = Path(target.root)
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        what = f"{root}: {place} cannot be written by user {os.geteuid()}"
        return Finding("bundle root", State.WRONG, what, "give the right to, or name another with --to")
    return Finding(
        "bundle root", State.OK, f"{root} can be written, {shutil.disk_usage(place).free >> 20:,} MiB are free"
    )
