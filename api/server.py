"""Runs the API process: `python -m api serve`. Nothing else in it reads the environment."""

import asyncio
import itertools
import math
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any

import structlog
import uvicorn
from litestar import Litestar
from uvicorn.middleware.proxy_headers import _TrustedHosts

from api.app import create_app
from api.http.connections import (
    RunningClock,
    check_connections,
    connection_class,
    notice_vanished_clients,
    quiet_malformed,
)
from api.local.errors import PortTaken
from api.local.ports import require_free, why_taken
from api.settings import ApiSettings
from graphs.providers.langchain.described import describe_listed_models
from schema.installation.settings_check import require_valid
from schema.metrics.process import start_metrics
from schema.postgres.logins import check_login
from schema.tracing.process import do_nothing, start_tracing
from tools.langchain.listing import list_langchain_tools
from workers.logs import configure_logging, log_uncaught
from workers.process_limits import disable_core_dumps, raise_file_limit, relax_garbage_collection
from workers.redis.cluster import refuse_cluster

log = structlog.get_logger()

LAST_WORDS_S = 5  # after the grace, for the last words to all who still wait to be sent
HEARD_S = 2.5  # how soon a stream that is told of the end has said its last words, also on a busy machine
TICKS_PER_S = 10  # uvicorn's
HANDSHAKE_S = 10  # how long a TLS handshake may take; the default is a minute
KEEP_ALIVE_S = 75  # longer than the 60 s of common proxies, so that the proxy closes the connection


def serve() -> None:
    """Serve until SIGTERM or Ctrl-C. Raises SettingsInvalid, PortTaken, ClusterRefused, and LoginRefused for a wrong user of
    Postgres."""
    disable_core_dumps()
    require_valid(os.environ, ApiSettings.from_env)
    settings = ApiSettings.from_env(os.environ)
    configure_logging("api", style=settings.logs, level=settings.log_level)
    log_uncaught()
    quiet_malformed()
    raise_file_limit()
    require_free("HEADRACE_PORT", settings.port, settings.host)
    if settings.tls.port is not None:
        require_free("HEADRACE_TLS_PORT", settings.tls.port, settings.host)
    list_langchain_tools(os.environ)
    describe_listed_models(settings.providers.langchain_models, dict(settings.providers.langchain_env))
    check_login(settings.database_url, "headrace_app")
    refuse_cluster(settings.redis_url)
    stop_tracing = start_tracing(settings.tracing, "api")
    app = create_app(settings, start_metrics(settings.metrics, settings.redis_url, "api", os.environ))
    relax_garbage_collection()
    clock = RunningClock()
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=connection_class(
            head_s=settings.header_timeout_s,
            body_s=settings.body_timeout_s,
            unread_s=settings.slow_client_s,
            hangs_up_on=_proxies_while_cut_off(app, settings.trusted_proxies),
            clock=clock,
        ),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        backlog=4096,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(settings.grace_s) + LAST_WORDS_S,
    )
    server = Server(config, app, clock, stop_tracing)
    server.run()
    if server.refused is not None:
        raise server.refused


def _proxies_while_cut_off(app: Litestar, trusted_proxies: str) -> Callable[[str], bool]:
    """Return what says whether to hang up on an address: on the trusted proxies', while no store is reached."""
    proxies = _TrustedHosts(trusted_proxies)
    return lambda address: app.state.resources.core.hub.cut_off and address in proxies


class Server(uvicorn.Server):
    """uvicorn that looks at its connections every second. When it is stopped it tells whoever can go on elsewhere, at once, and
    all others when the grace has passed (`api/http/shutdown.py`); what waits even then is cancelled, and answered by the
    middleware. Then traces are sent: after that, uvicorn ends the process by the signal that it got."""

    def __init__(
        self,
        config: uvicorn.Config,
        app: Litestar,
        clock: RunningClock,
        stop_tracing: Callable[[], None] = do_nothing,
    ) -> None:
        super().__init__(config)
        self._state, self._clock, self._stop_tracing = app.state, clock, stop_tracing
        self.refused: PortTaken | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        self._notice_vanished_clients()
        log.info("server_ready", host=self.config.host, port=self.config.port)
        if (port := self._state.settings.tls.port) is not None:
            await self._serve_tls(port, self._state.resources.certificates.front)

    async def _serve_tls(self, port: int, front: ssl.SSLContext) -> None:
        """Listen at another port, with this context. If it was taken since the start, the process ends, and says so."""
        loop, config = asyncio.get_running_loop(), self.config

        protocol: Any = config.http_protocol_class

        def connection() -> asyncio.Protocol:
            return protocol(config=config, server_state=self.server_state, app_state=self.lifespan.state)

        try:
            listener = await loop.create_server(
                connection,
                host=config.host,
                port=port,
                ssl=front,
                backlog=config.backlog,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=LAST_WORDS_S,
            )
        except OSError as error:
            log.error("tls_port_unusable", port=port, reason=error.strerror)
            self.refused = PortTaken(f"HEADRACE_TLS_PORT={port} {why_taken(error, port, config.host)}.")
            self.should_exit = True
            return
        self.servers.append(listener)
        self._notice_vanished_clients()
        log.info("tls_ready", host=config.host, port=port)

    def _notice_vanished_clients(self) -> None:
        # Later than a client that is there and reads nothing is cut off by us, with a log line: to the system both look alike.
        for server in self.servers:
            notice_vanished_clients(server.sockets, within_s=2 * self._state.settings.slow_client_s)

    async def on_tick(self, counter: int) -> bool:
        self._look_at_connections(counter)
        return await super().on_tick(counter)

    def _look_at_connections(self, counter: int) -> None:
        turn = counter % TICKS_PER_S
        check_connections(self.server_state.connections, self._clock, turn=turn, turns=TICKS_PER_S)
        if turn == 0:
            self._state.bodies.check()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        log.info("server_stopping", requests=len(self.server_state.tasks))
        self._state.shutdown.begin()
        ending = asyncio.create_task(self._end_grace(), name="grace")
        await super().shutdown(sockets)
        ending.cancel()
        await asyncio.to_thread(self._stop_tracing)

    async def _end_grace(self) -> None:
        """When the grace has passed, tell all who wait, and cancel those who don't hear it. Clients that are too slow have no
        grace."""
        loop = asyncio.get_running_loop()
        ends_at, turns = loop.time() + self._state.settings.grace_s, itertools.count()
        while (left_s := ends_at - loop.time()) > 0:
            self._look_at_connections(next(turns))
            await asyncio.sleep(min(left_s, 1 / TICKS_PER_S))
        log.warning("grace_over", requests=len(self.server_state.tasks))
        self._state.shutdown.end()
        await asyncio.sleep(HEARD_S)
        for task in self.server_state.tasks:
            task.cancel()
