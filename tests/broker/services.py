"""Service processes for tests: `a3cp serve`, as an operator or an orchestrator would start, kill and ask it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import httpx

from tests.broker.fleet import TIMEOUT_S, Fleet, Worker, await_true


class Service(Worker):
    """One `a3cp serve` on a free port, in a process group of its own."""

    command = "serve"

    @cached_property
    def http(self) -> httpx.Client:
        """A client of it, once it listens; closed with it."""
        await_true("the service listens", lambda: self.said("listening"))
        line: dict[str, Any] = next(line for line in self.log() if line["message"] == "listening")
        return httpx.Client(base_url=line["metadata"]["url"], timeout=TIMEOUT_S)

    def kill(self) -> None:
        """Kill it at once (kill -9)."""
        super().kill()
        if "http" in self.__dict__:
            self.http.close()

    def ready(self) -> httpx.Client:
        """A client of it, once it has caught up."""
        http = self.http
        await_true("the service is ready", lambda: http.get("/readyz").status_code == 200)
        return http


@contextmanager
def services(fleet: Fleet, count: int) -> Iterator[list[Service]]:
    """Services on the Kafka of `fleet`; those that a test adds to the list are killed at its end too."""
    started = [service_of(fleet, number) for number in range(count)]
    try:
        yield started
    finally:
        for service in started:
            service.kill()
            text = service.log_file.read_text("utf-8", "replace")
            sys.stdout.write(f"--- {service.log_file.name}\n{text[-6_000:]}\n")  # pytest shows it when the test fails.


def service_of(fleet: Fleet, number: int) -> Service:
    """Start one more service, on a free port and with a store of its own that nobody fills."""
    environ = {**fleet.environ, "A3CP_STORE_URL": f"sqlite:///{fleet.folder / f'service-{number}.db'}"}
    return Service(environ, fleet.folder / f"service-{number}.log", ["--port", "0"])
