"""A service on a log in memory, a Chromium that shows its page, and a client beside it."""

from collections.abc import Iterator

import httpx
import pytest

from processor.settings.model import Settings
from tests.bundles.browser import Browser, Chromium
from tests.patience import PATIENCE_S
from tests.served import InMemory, served


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InMemory]:
    """A service."""
    folder = tmp_path_factory.mktemp("service")
    with served(folder, Settings(profile_store_url=f"sqlite:///{folder / 'profiles.db'}")) as running:
        yield running


@pytest.fixture(scope="module")
def browser(service: InMemory, chromium: Chromium) -> Iterator[Browser]:
    """A page, which closes before the service ends that it follows."""
    del service
    with chromium.page() as page:
        yield page


@pytest.fixture
def http(service: InMemory) -> Iterator[httpx.Client]:
    """A client of it, beside the browser."""
    with httpx.Client(base_url=service.url, timeout=PATIENCE_S) as client:
        yield client
