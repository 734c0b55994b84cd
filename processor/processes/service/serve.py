"""The service: HTTP over what one replica knows. Without Kafka or a store it lives, and says what is missing."""

import sys
from pathlib import Path

import httpx
from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from processor.errors import UsageError
from processor.faces.app import make_app
from processor.faces.auth.cookie import Cookies
from processor.faces.auth.doors import Door, Doors
from processor.faces.auth.oidc import OidcDoor, OidcRules, ProviderKeys
from processor.faces.auth.provider import Client, Provider
from processor.faces.auth.tokens import TokenFile
from processor.faces.middleware.ratelimits import RateLimits
from processor.faces.middleware.shell import Shell
from processor.faces.replica.context import Context
from processor.observe.logs import log_of
from processor.observe.serving import ServeMetrics
from processor.processes.collecting import tune_garbage_collection
from processor.processes.service.listening import address_of, bind, is_loopback, serve_until_signal
from processor.processes.service.replica import Replica
from processor.settings.model import Settings
from processor.settings.sources import Loaded
from processor.wiring import spans_of

_FOLLOWER_STOPS_S = 1.0
_SWITCH_S = 0.0005  # So long a request waits for the thread that follows the topics. Python's own 5 ms are much of it.


def run_service(loaded: Loaded, *, bundles_root: str | None) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        UsageError: it cannot listen where it should, or would let in everybody from elsewhere.
    """
    settings = loaded.settings
    log = log_of("serve", settings)
    for note in loaded.notes:
        log.info(note, operation="start")
    for warning in loaded.warnings:
        log.warning(warning, operation="start")
    doors = doors_of(settings, log)
    metrics = ServeMetrics(CollectorRegistry())

    def ready(context: Context) -> None:
        app.state.context = context

    with bind(settings.serve_host, settings.serve_port) as bound, spans_of("serve", settings, log) as spans:
        replica = Replica(settings, log, metrics, bundles_root=bundles_root, ready=ready)
        provider = provider_of(settings, replica.site_key)
        shell = Shell(
            doors=doors if provider is None else doors.with_first(provider.sign_ins),
            provider=provider,
            cookies=Cookies(replica.site_key),
            limits=RateLimits(settings.serve_requests_per_s_max),
            metrics=metrics,
            log=log,
            spans=spans,
            troubles=replica.troubles,
            incomplete=replica.incomplete,
        )
        app = make_app(None, shell)
        whom = "everybody on this machine, as an operator" if doors.are_open else "those who have a token"
        log.info("listening", operation="start", url=address_of(bound), lets_in=whom)
        tune_garbage_collection()
        sys.setswitchinterval(_SWITCH_S)
        replica.start()
        serve_until_signal(app, bound, log, replica.let_go)
        replica.stop(_FOLLOWER_STOPS_S)
        log.info("stopped", operation="stop")


def doors_of(settings: Settings, log: FilteringBoundLogger) -> Doors:
    """Return the doors that the settings ask for.

    Raises:
        UsageError: there are none though others than this machine reach the service, or the tokens cannot be read.
    """
    doors: list[Door] = []
    if settings.serve_tokens_file is not None:
        doors.append(
            TokenFile(Path(settings.serve_tokens_file), lambda error: log.warning(str(error), operation="tokens"))
        )
    if settings.serve_oidc_issuer is not None:
        doors.append(_oidc_door(settings, settings.serve_oidc_issuer))
    if not doors and not is_loopback(settings.serve_host):
        raise UsageError(
            f"{settings.serve_host} is reached from elsewhere, and nobody would be asked for a token",
            remedy="set A3CP_SERVE_TOKENS_FILE (a3cp token new makes one) or A3CP_SERVE_OIDC_ISSUER, "
            "or listen on 127.0.0.1",
        )
    return Doors(*doors)


def provider_of(settings: Settings, key: bytes) -> Provider | None:
    """Return where people sign in by redirect; None if the settings name no client there. `key`: the site's."""
    if settings.serve_oidc_client_id is None or settings.serve_oidc_issuer is None:
        return None
    client = Client(settings.serve_oidc_client_id, settings.serve_oidc_client_secret)
    return Provider(_oidc_door(settings, settings.serve_oidc_issuer), client, httpx.AsyncClient(), key)


def _oidc_door(settings: Settings, issuer: str) -> OidcDoor:
    rules = OidcRules(
        issuer,
        settings.serve_oidc_audience,
        settings.serve_oidc_jwks_url,
        settings.serve_oidc_leeway_ms / 1000,
        settings.serve_oidc_role_claim,
        settings.serve_oidc_users_claim,
    )
    return OidcDoor(rules, ProviderKeys(rules, httpx.AsyncClient()))
