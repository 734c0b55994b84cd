"""What tests of bundles share: a browser."""

from collections.abc import Iterator

import pytest

from tests.bundles.browser import CHROMIUM, SKIPPED, Browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A Chromium."""
    if CHROMIUM is None:
        pytest.skip(SKIPPED)
    with Browser(tmp_path_factory.mktemp("chromium")) as running:
        yield running
