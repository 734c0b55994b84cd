"""The stores that the exporter's tests run on: SQLite always, PostgreSQL where its programs are."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from processor.store import open_store
from processor.store.sql import SqlStore
from tests.postgres import SKIPPED, Cluster, programs


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL for this run."""
    if programs() is None:
        pytest.skip(SKIPPED)
    with Cluster() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> str:
    """The address of an empty store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    running: Cluster = request.getfixturevalue("cluster")
    return running.new_database(prefix)


@pytest.fixture
def store(address: str) -> Iterator[SqlStore]:
    """An empty store."""
    opened = open_store(address)
    yield opened
    opened.close()
