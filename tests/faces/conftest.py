"""A deployment in memory and a client of its first replica, for tests of the faces."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from processor.in_memory import MemoryDeployment
from tests.faces.stage import http_of


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[MemoryDeployment]:
    with MemoryDeployment(tmp_path) as deployment:
        yield deployment


@pytest.fixture
def http(deployment: MemoryDeployment) -> Iterator[TestClient]:
    with http_of(deployment) as client:
        yield client
