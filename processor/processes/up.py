"""Everything on one machine, in the foreground: Kafka, topics, processor, exporter with bundles, service."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO, Final, NamedTuple
from uuid import uuid4

import httpx

from processor import broker
from processor.broker.errors import PortTaken
from processor.codec.events import SCHEMA_VERSION
from processor.errors import Fatal, UsageError
from processor.hooks.due import hooked
from processor.kafka.topics.admin import ensure_topics
from processor.processes.parts import Part, as_part, launched, stop_all
from processor.processes.service.listening import address_of, bind
from processor.settings.model import Settings
from processor.wiring import PROFILES_FILE

LOG_FILE: Final = "a3cp-up.log"
_POLL_S: Final = 0.1
_BROKER_LOOK_S: Final = 2.0
_READY_S: Final = 60.0
_BACKOFF_S: Final = 1.0


class Place(NamedTuple):
    """Where everything is kept."""

    folder: Path  # store, bundles, profiles, log
    broker_dir: Path | None  # None: that of the user's own embedded Kafka
    prefix: str  # of the topics

    @property
    def store_url(self) -> str:
        """The address of the store."""
        return f"sqlite:///{self.folder / 'a3cp.db'}"


def run_all(settings: Settings, place: Place, *, port: int, program: str, say: Callable[[str], None]) -> None:
    """Run everything until SIGTERM or SIGINT; a part that dies is started again, and that is said.

    Args:
        settings: if they name a Kafka it is used, else the embedded one is started.
        place: where everything is kept.
        port: of the service; 0 for a free one.
        program: how people call `a3cp` from where they are.
        say: tells people.

    Raises:
        UsageError: a setting is wrong, or the port is taken.
        A3CPError: Kafka does not start, or its topics are not as they should be.
    """
    place.folder.mkdir(parents=True, exist_ok=True)
    with bind(settings.serve_host, port) as bound:  # Refused now, before anything is started.
        url, port = address_of(bound), bound.getsockname()[1]
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    kafka = Kafka(settings.kafka_conf().get("bootstrap.servers"), place.broker_dir, say)
    try:
        conf = {**settings.kafka_conf(), "bootstrap.servers": kafka.servers}
        ensure_topics(conf, place.prefix)
        log_file = place.folder / LOG_FILE
        with log_file.open("wb") as log:
            environ = environ_of(settings, place, kafka.servers, port)
            parts = start_parts(environ, place, log, say, has_hooks=bool(hooked(settings.templates)))
            try:
                await_ready(url, parts, lambda: stopping)
                if not stopping:
                    tell(kafka, place, settings, url, say, program=program)
                while not stopping:
                    time.sleep(_POLL_S)
                    kafka.look()
                    for part in parts:
                        if not stopping:
                            part.look()
            except (UsageError, Fatal) as error:
                raise type(error)(error.what, remedy=f"its last words: {last_words(log_file)}") from error
            finally:
                say(f"stopping {', '.join(part.name for part in parts)}")
                for part in parts:
                    stop_all([part])
    finally:
        kafka.stop()


class Kafka:
    """The Kafka that is used: a named one, or the embedded one, which is started if it does not run."""

    def __init__(self, named: str | None, folder: Path | None, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say
        self._is_ours = named is None and broker.status(folder) is None
        self._is_embedded = named is None
        self._look_at_s = 0.0
        self.servers: Final = named or broker.up(None, folder, say=say).bootstrap

    @property
    def words(self) -> str:
        """What it is."""
        if not self._is_embedded:
            return self.servers
        return f"{self.servers}, embedded{', started' if self._is_ours else ', was running'}"

    def look(self) -> None:
        """Start the embedded one again if it is gone. Its port may still be held for a moment by what is left of it."""
        if not self._is_embedded or time.monotonic() < self._look_at_s:
            return
        self._look_at_s = time.monotonic() + _BROKER_LOOK_S
        if broker.status(self._folder) is None:
            self._say("Kafka is gone; starting it again")
            try:
                broker.up(int(self.servers.split(",")[0].rpartition(":")[2]), self._folder, say=self._say)
            except PortTaken as error:
                self._say(f"{error.what}; trying again")

    def stop(self) -> None:
        """Stop it, if it was started here."""
        if self._is_ours:
            broker.down(self._folder, say=self._say)


def environ_of(settings: Settings, place: Place, servers: str, port: int) -> Mapping[str, str]:
    """Return the environment of the parts: what is set stays, what is not leads to `place`."""
    defaults = Settings.model_fields
    group_id = settings.group_id
    if place.prefix != settings.topic_prefix and group_id == defaults["group_id"].default:
        group_id = place.prefix
    store_url = settings.store_url
    if store_url == defaults["store_url"].default:
        store_url = place.store_url
    return {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "A3CP_TOPIC_PREFIX": place.prefix,
        "A3CP_GROUP_ID": group_id,
        "A3CP_STORE_URL": store_url,
        "A3CP_PROFILE_STORE_URL": settings.profile_store_url or f"sqlite:///{place.folder / PROFILES_FILE}",
        "A3CP_SERVE_PORT": str(port),
        "A3CP_METRICS_PORT": "0",  # Each would want it. The service has its own.
        "A3CP_LOG_FORMAT": "json",
    }


def start_parts(
    environ: Mapping[str, str], place: Place, log: IO[bytes], say: Callable[[str], None], *, has_hooks: bool
) -> list[Part]:
    """Start the parts and return them, in the order in which they are to be stopped."""
    bundles = str(place.folder / "bundles")
    commands = {
        "the service": ("serve", "--bundles", bundles),
        "the exporter": ("export", "--follow", "--to", bundles),
        "the processor": ("process",),
    }
    if has_hooks:
        commands = {"the hooks": ("hooks",), **commands}
    final = (UsageError.exit_code,)
    return [
        Part(name, partial(launched, as_part(*arguments), environ, log), say, final=final)
        for name, arguments in commands.items()
    ]


def await_ready(url: str, parts: list[Part], stopping: Callable[[], bool]) -> None:
    """Wait until the service is ready; for a minute at most, since it may well become so later."""
    until_s = time.monotonic() + _READY_S
    while not stopping() and time.monotonic() < until_s:
        for part in parts:
            part.look()
        with suppress(httpx.HTTPError):
            if httpx.get(f"{url}/readyz", timeout=_BACKOFF_S).status_code == httpx.codes.OK:
                return
        time.sleep(_POLL_S)


def tell(kafka: Kafka, place: Place, settings: Settings, url: str, say: Callable[[str], None], *, program: str) -> None:
    """Say in five lines where everything is, and in a sixth how to send something that the page shows at once."""
    names = ", .".join(settings.topics()._fields)
    say(f"Kafka     {kafka.words}")
    say(f"topics    {place.prefix}.{names}")
    say(f"sessions  {place.folder / 'a3cp.db'}, bundles in {place.folder / 'bundles'}")
    say(f"log       {place.folder / LOG_FILE}")
    say(f"service   {url}, a page for people; its documents at {url}/docs; Ctrl-C stops all")
    spine = f'"schema_version": "{SCHEMA_VERSION}", "record_id": "{uuid4()}", "user_id": "first-try"'
    message = f"""'{{{spine}, "source": "ui", "text": "hello", "timestamp": "'$(date -u +%FT%TZ)'"}}'"""
    where = f"--prefix {place.prefix} --bootstrap {kafka.servers}"
    say(f"try       echo {message} | {program} produce {where} -")


def last_words(log_file: Path) -> str:
    """Return the last line of the log."""
    lines = log_file.read_text("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "none"
