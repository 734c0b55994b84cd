"""The pages of an exporter that follows."""

import pytest

from processor.broker.probe import free_ports
from processor.processes.exporter.exporter import export_observer
from processor.settings.model import Settings
from tests.broker.fleet import probe


@pytest.mark.parametrize(
    ("given", "serves"), [(None, True), (0, False)], ids=["the setting", "the option says that there are none"]
)
def test_its_port_is_the_workers_setting(given: int | None, serves: bool) -> None:
    """A3CP_METRICS_PORT names it, unless the option does."""
    (port,) = free_ports(1)
    with export_observer(Settings(metrics_port=port), given):
        assert (probe(port, "/livez")[0] == 200) is serves
