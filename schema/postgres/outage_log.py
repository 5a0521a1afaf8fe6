"""One log line when Postgres is lost and one when it is back, instead of the pools' line for each connection and attempt.

psycopg's pools log each connection that breaks and each attempt that fails, about fifty lines for a restart of Postgres. Their
warnings pass `OutageFilter`, which tells the process's `Outage`; `pool_for` tells it of each new connection.

Not for: what callers are told (`Unavailable`), or whether an error is an outage (`connections.is_outage`).
"""

import logging
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger()

POOL_LOGGER, CONNECTION_LOGGER = "psycopg.pool", "psycopg"
FAILED_ATTEMPTS = ("error connecting in ", "reconnection attempt in ")
STALE_CONNECTIONS = (
    "discarding broken connection",
    "discarding closed connection",
    "closing returned connection",
    "rolling back returned connection",
    "rollback failed",
    "error resetting connection",
)
IGNORED = "error ignored "
"""What a connection says that breaks within a transaction; its object is `[BAD]` then."""
STALE_S = 60.0
"""How long after an outage other connections may still turn out to be broken by it."""


class Outage:
    """Whether this process has lost Postgres."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lost_at: float | None = None
        self._back_at: float | None = None

    def connection_failed(self, why: str) -> None:
        """A new connection was refused."""
        self._lose(why)

    def connection_broke(self) -> None:
        """A connection of a pool was found broken: now, or in an outage that is over."""
        if self._back_at is None or self._clock() - self._back_at > STALE_S:
            self._lose("a connection was closed by the server or the network")

    def connected(self) -> None:
        """A new connection works."""
        if self._lost_at is not None:
            self._back_at = self._clock()
            log.info("postgres_back", after_s=round(self._back_at - self._lost_at, 1))
            self._lost_at = None

    def _lose(self, why: str) -> None:
        if self._lost_at is None:
            self._lost_at = self._clock()
            log.warning("postgres_lost", why=why)


PROCESS = Outage()


class OutageFilter(logging.Filter):
    """Keeps back the pools' lines about lost connections; all others pass."""

    def __init__(self, outage: Outage) -> None:
        super().__init__()
        self._outage = outage

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is logged."""
        text = str(record.msg)
        if text.startswith(FAILED_ATTEMPTS):
            arguments = record.args if isinstance(record.args, tuple) else ()
            if arguments and isinstance(arguments[-1], BaseException):
                self._outage.connection_failed(_first_line(arguments[-1]))
            return False
        if text.startswith(STALE_CONNECTIONS):
            self._outage.connection_broke()
            return False
        if text.startswith(IGNORED) and isinstance(record.args, tuple) and "[BAD]" in repr(record.args[:1]):
            self._outage.connection_broke()
            return False
        return True


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def quiet_pools() -> None:
    """Let the lines of the pools and their connections pass the filter; once for a process."""
    for logger in map(logging.getLogger, (POOL_LOGGER, CONNECTION_LOGGER)):
        if not any(isinstance(one, OutageFilter) for one in logger.filters):
            logger.addFilter(OutageFilter(PROCESS))
