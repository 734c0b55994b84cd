"""An open store for the exporter's tests; its address is a fixture of all tests."""

from collections.abc import Iterator

import pytest

from processor.store import open_store
from processor.store.sql import SqlStore


@pytest.fixture
def store(address: str) -> Iterator[SqlStore]:
    """An empty store."""
    opened = open_store(address)
    yield opened
    opened.close()
