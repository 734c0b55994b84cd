"""A Kafka for the tests marked `broker`: KAFKA_BOOTSTRAP_SERVERS, Docker or the embedded one, the first there is."""

import gc
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import IsolationLevel
from confluent_kafka.admin import AdminClient
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from processor import broker
from processor.broker.folder import exclusive
from processor.kafka.offsets import LATEST, log_offsets, patiently
from processor.kafka.topics.admin import ensure_topics
from processor.kafka.topics.desired import desired_topics
from processor.store import open_store
from processor.store.sql import SqlStore
from tests import quick_java
from tests.bundles.browser import AXE, CHROMIUM, NO_CHROMIUM, Browser, Chromium, axe_script
from tests.postgres import SKIPPED, Cluster, programs

# Helpers that assert: so that they too say what was found.
pytest.register_assert_rewrite(
    *(f"tests.broker.{name}" for name in ("audit", "commands", "exporters", "fleet", "site"))
)

gc.set_threshold(50_000)  # Collecting 6,000 tests makes little that is garbage: a third less CPU.

# No test asserts a speed, on whatever machine.
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")

KAFKA_FOLDER = "TESTS_KAFKA_FOLDER"
# Files whose tests share a broker of their own, a registry, a browser or a build.
SHARING = {
    "test_cluster.py", "test_demo.py", "test_export_standing.py", "test_installing.py", "test_kubernetes.py",
    "test_operations.py", "test_registry.py", "test_rights.py", "test_security.py", "test_timeline_page.py",
    "test_unreadable.py",
}  # fmt: skip
PARTITIONS = 4
KAFKA_IMAGE = "apache/kafka:4.1.0"


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run two workers a core, since tests wait for more than half of their time; long ones work more. 8 at most."""
    cores = os.cpu_count() or 1
    return min(8, 3 * cores // 2 if config.getoption("markexpr") == "long" else 2 * cores)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Give each worker one test after the other, and all of a file whose tests share what is slow to start."""
    scheduling = LoadScopeScheduling(config, log)

    def split_scope(nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if Path(file).name in SHARING else nodeid

    scheduling._split_scope = split_scope
    return scheduling


def pytest_collection(session: pytest.Session) -> None:
    """Let each worker begin with other files: in a new clone pytest compiles each for 30 ms, and all would do the same.

    What one worker has compiled is there for the others.
    """
    worker = getattr(session.config, "workerinput", None)
    if worker is None:
        return
    root = session.config.rootpath
    places = [root / argument.partition("::")[0] for argument in session.config.args]
    files = sorted(file for place in places for file in (place.rglob("test_*.py") if place.is_dir() else [place]))
    first = int(worker["workerid"].removeprefix("gw")) * len(files) // worker["workercount"]
    for file in files[first:] + files[:first]:
        with suppress(Exception):  # pytest imports it again, and tells.
            import_module(".".join(file.relative_to(root).with_suffix("").parts))


def pytest_collection_finish() -> None:
    """Leave what was collected out of the search for garbage: it stays until the end."""
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the tests that need a Kafka when they run side by side: the quick ones fill the gaps at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("broker") is None)


@pytest.fixture(scope="session", autouse=True)
def java_options() -> Iterator[None]:
    """Start and warm up brokers in less than half the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_TOOL_OPTIONS", quick_java.OPTIONS)
        yield


def pytest_configure(config: pytest.Config) -> None:
    """Name a folder for the embedded Kafka: the first worker that needs one starts it, for all of them."""
    if not hasattr(config, "workerinput"):
        os.environ[KAFKA_FOLDER] = tempfile.mkdtemp(prefix="a3cp-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the Kafka that was started there."""
    if not hasattr(config, "workerinput"):
        folder = Path(os.environ.pop(KAFKA_FOLDER))
        broker.down(folder)
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The address of a Kafka for this run; what was started for it is stopped at its end."""
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield given
        return
    with ExitStack() as stack:
        yield _in_docker(stack) or _embedded(Path(os.environ[KAFKA_FOLDER]))


def _embedded(folder: Path) -> str:
    with exclusive(folder):
        quick_java.make_cache()
    return broker.up(None, folder).bootstrap


def _in_docker(stack: ExitStack) -> str | None:
    """Start a Kafka in Docker; None where no engine answers, or it cannot get the image."""
    if not shutil.which("docker"):
        return None
    with suppress(subprocess.TimeoutExpired):
        if subprocess.run(["docker", "version"], capture_output=True, timeout=10, check=False).returncode == 0:
            from docker.errors import DockerException

            from tests.docker_kafka import DockerKafka

            with suppress(DockerException):
                return stack.enter_context(DockerKafka(KAFKA_IMAGE)).bootstrap
    return None


@pytest.fixture
def prefix() -> str:
    """A topic prefix, group or id that no other test has."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def topics(kafka: str, prefix: str) -> Iterator[str]:
    """The prefix of a fresh set of the five topics, with 4 partitions each; deleted after the test."""
    conf = {"bootstrap.servers": kafka}
    ensure_topics(conf, prefix, partitions=PARTITIONS)
    admin = AdminClient({**conf})
    names = [topic.name for topic in desired_topics(prefix)]
    places = [(name, partition) for name in names for partition in range(PARTITIONS)]
    # A broker that is slow knows of a new topic before it leads its partitions.
    ask = partial(log_offsets, admin, places, LATEST, IsolationLevel.READ_UNCOMMITTED)
    patiently(ask, "making topics", conf, timeout_s=60)
    yield prefix
    for future in admin.delete_topics(names).values():
        future.result()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL for this run."""
    if programs() is None:
        pytest.skip(SKIPPED)
    with Cluster() as running:
        yield running


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A Chromium for this run."""
    if CHROMIUM is None:
        pytest.skip(NO_CHROMIUM)
    with Chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture(scope="module")
def browser(chromium: Chromium) -> Iterator[Browser]:
    """A page in it."""
    with chromium.page() as page:
        yield page


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script of axe-core."""
    script = axe_script(tmp_path_factory.mktemp("axe"))
    return script if script is not None else pytest.skip(f"{AXE} cannot be had: there is no npm here, or no network")


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> str:
    """The address of an empty store: SQLite always, PostgreSQL where its programs are."""
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
