"""Notices that Postgres stands still: it neither answers nor breaks its connections, as where a process is stopped or a disk
hangs. Whoever waited would wait until a time-out of the network.

    a transaction is silent for SILENT_S ──► does a new connection work?
        yes ──► Postgres is slow, not frozen: ask again later
        no  ──► frozen: what is silent is hung up on, and so ends like in any other outage; new ones are refused at once
                until a connection works again

For requests only, whose clients come again. Attempts of jobs wait, as what they have done must not be lost (`outages.py`).
"""

import asyncio
import os
import socket
from contextlib import suppress
from typing import Any

import psycopg
import structlog

from schema.postgres.servers import list_servers

log = structlog.get_logger()

Db = psycopg.AsyncConnection[Any]

SILENT_S = 3.0
"""How long a transaction may take before Postgres is asked whether it lives."""
PROBE_S = 2.0
"""How long a new connection may take at each server that is named; psycopg's least."""
AGAIN_S = 0.2
"""How soon a frozen Postgres is asked again after it did not answer."""
SLOW_S = 10.0
"""How long a Postgres that answered is not asked again."""
GIVE_UP_S = 40.0
"""Longer than `statement_timeout`, after which a live server process answers: this one is frozen, if others live or not."""


class FreezeWatch:
    """Watches the transactions of a pool. `frozen` is true while Postgres stands still."""

    def __init__(self, conninfo: str, *, silent_s: float = SILENT_S) -> None:
        self.frozen = False
        self.conninfo, self.silent_s = conninfo, silent_s
        self._since: dict[Db, float] = {}
        self._slow_until = 0.0

    def begin(self, db: Db) -> None:
        """Watch a connection from now on."""
        self._since[db] = asyncio.get_running_loop().time()

    def end(self, db: Db) -> None:
        """Watch it no longer."""
        self._since.pop(db, None)

    async def run(self) -> None:
        """Look at all of them, for ever."""
        while True:
            await asyncio.sleep(AGAIN_S if self.frozen else self.silent_s / 3)
            await self.check()

    async def check(self) -> None:
        """Find out whether Postgres stands still, if something is silent or it did so before."""
        now = asyncio.get_running_loop().time()
        self._hang_up(now - GIVE_UP_S)
        silent = any(since <= now - self.silent_s for since in self._since.values())
        if not self.frozen and (not silent or now < self._slow_until):
            return
        lives = await self._lives()
        if lives and self.frozen:
            log.info("postgres_moves_again")
        if not lives and not self.frozen:
            log.warning("postgres_frozen", waiting=len(self._since))
        self.frozen, self._slow_until = not lives, now + SLOW_S
        if self.frozen:
            self._hang_up(now - self.silent_s)

    async def _lives(self) -> bool:
        """Whether a new connection works, at one of the servers. A refusal is an answer, and an outage that others notice."""
        try:
            async with asyncio.timeout(PROBE_S * len(list_servers(self.conninfo))):
                async with await psycopg.AsyncConnection.connect(self.conninfo, connect_timeout=int(PROBE_S)):
                    return True
        except (TimeoutError, psycopg.errors.ConnectionTimeout):
            return False
        except (psycopg.Error, OSError):
            return True

    def _hang_up(self, before: float) -> None:
        for db, since in list(self._since.items()):
            if since <= before:
                del self._since[db]
                _shut(db)


def _shut(db: Db) -> None:
    """Let whoever waits for this connection read its end. To cancel the task would make psycopg ask Postgres to cancel, and
    wait for its answer."""
    with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(db.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
