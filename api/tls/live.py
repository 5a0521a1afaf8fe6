"""The certificates that this process serves: read from Postgres, and chosen anew at each handshake.

    table ── every 2 s, and at once where it was changed here ──► contexts by name ◄── handshake: server name (SNI)

The listener has one context without a certificate, which is never changed. Its callback gives each connection the context
of the name that the client asks for, so a renewed certificate is another context, and open connections keep theirs. A row that
can't be used is logged and left out, or keeps what it had; while Postgres is away all stays as it is.
"""

import asyncio
import contextlib
import ssl
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import structlog

from schema.errors import SecretUnreadable, Unavailable
from schema.postgres.connections import Pool, tenant_tx
from schema.queries.certificates.certificates import ServedCertificate, list_served, read_version
from schema.vault import PLATFORM, Sealed, Vault
from workers.certificates.contexts import ContextRefused, bare_context, server_context
from workers.certificates.names import covers

log = structlog.get_logger()

POLL_S = 2.0
UNREAD = "unread"


@dataclass(frozen=True)
class Serving:
    """A certificate with its context."""

    row: ServedCertificate
    context: ssl.SSLContext


class LiveCertificates:
    """The certificates by name. `front` is the listener's context. `start` reads them again and again until `close`."""

    def __init__(self, pool: Pool, vault: Vault, *, minimum: str = "1.2") -> None:
        self._pool, self._vault, self._minimum = pool, vault, minimum
        self._serving: dict[UUID, Serving] = {}
        self._by_name: dict[str, list[Serving]] = {}
        self._version = UNREAD
        self._unusable: dict[UUID, tuple[datetime, str]] = {}
        self._poll: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self.front = bare_context(minimum)
        self.front.sni_callback = self._choose  # type: ignore[assignment]

    async def start(self) -> None:
        """Read them for the first time, if Postgres answers, and go on."""
        await self._look()
        self._poll = asyncio.create_task(self._look_again(), name="certificates")

    async def close(self) -> None:
        """Stop reading."""
        if self._poll is not None:
            self._poll.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._poll

    @property
    def usable(self) -> bool:
        """Whether a client can be served by TLS with a certificate that has not expired."""
        now = datetime.now(UTC)
        return any(one.row.not_after > now for one in self._serving.values())

    def find(self, host: str | None) -> Serving | None:
        """Return what a client is served that asks for this host: of those for it that haven't expired one that an authority
        has issued before self-signed ones, then the newest; without any for it, the oldest. None if there is none."""
        host = (host or "").lower()
        fitting = self._by_name.get(host) or self._by_name.get(f"*.{host.partition('.')[2]}") or []
        fitting = [one for one in fitting if any(covers(name, host) for name in one.row.names)]
        return _first_valid(fitting or list(self._serving.values()))

    async def refresh(self) -> None:
        """Read them if they have changed. Raises Unavailable."""
        async with self._lock:
            async with tenant_tx(self._pool, PLATFORM) as db:
                version = await read_version(db)
                if version == self._version:
                    return
                rows = await list_served(db)
            await asyncio.to_thread(self._take, rows)
            self._version = UNREAD if self._unusable else version

    def _choose(self, connection: Any, host: str | None, _front: ssl.SSLContext) -> int | None:
        found = self.find(host)
        if found is None:
            return ssl.ALERT_DESCRIPTION_HANDSHAKE_FAILURE
        connection.context = found.context
        return None

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            await self._look()

    async def _look(self) -> None:
        try:
            await self.refresh()
        except Unavailable:
            log.warning("certificates_not_read")
        except Exception:
            # Whatever a row holds, the process serves on, with what it has.
            log.exception("certificates_not_understood")

    def _take(self, rows: list[ServedCertificate]) -> None:
        """Make contexts of rows that are new or changed, and serve these from now on."""
        serving, unusable = dict[UUID, Serving](), dict[UUID, tuple[datetime, str]]()
        for row in rows:
            had = self._serving.get(row.id)
            if had is not None and had.row.updated_at == row.updated_at:
                serving[row.id] = had
                continue
            try:
                serving[row.id] = self._open(row)
            except (SecretUnreadable, ContextRefused) as error:
                reason = error.message if isinstance(error, SecretUnreadable) else f"OpenSSL refuses it ({error})."
                unusable[row.id] = (row.updated_at, reason)
                if had is not None:
                    serving[row.id] = had
                if self._unusable.get(row.id) != unusable[row.id]:
                    log.error("certificate_unusable", name=row.name, reason=reason, kept=had is not None)
        by_name: dict[str, list[Serving]] = defaultdict(list)
        for one in sorted(serving.values(), key=_preference, reverse=True):
            for name in one.row.names:
                by_name[name].append(one)
        self._serving, self._by_name, self._unusable = serving, dict(by_name), unusable

    def _open(self, row: ServedCertificate) -> Serving:
        key = self._vault.open(Sealed(row.key_id, row.sealed), tenant_id=PLATFORM, owner_id=row.id)
        context = server_context(row.chain, key, minimum=self._minimum)
        log.info("certificate_served", name=row.name, names=row.names, not_after=row.not_after.isoformat())
        return Serving(row, context)


def _preference(one: Serving) -> tuple[bool, datetime]:
    return one.row.origin != "self_signed", one.row.updated_at


def _first_valid(found: list[Serving]) -> Serving | None:
    """Return the first that has not expired, else the first: its client then sees what is wrong."""
    now = datetime.now(UTC)
    return next((one for one in found if one.row.not_after > now), found[0] if found else None)
