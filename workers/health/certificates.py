"""Checks the certificates that clients of this installation meet: of its public address, and of Redis and Postgres where they
are reached over TLS. A certificate is asked for, so the one that is served counts, whoever renews it.

Only dates are looked at. Whether it is trusted, and of the right name, each client finds out for itself.
"""

import asyncio
import ssl
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from cryptography import x509
from psycopg.conninfo import conninfo_to_dict

from schema.postgres.servers import list_servers
from workers.health.checks import Finding, NoData, PartDown
from workers.health.settings import HealthSettings
from workers.redis.address import RedisAddress

LOOK_S = 60.0
"""How often certificates are looked at; between, what was found stays."""
ANSWER_S = 1.5
DAY_S = 86_400.0
TLS_MODES = ("require", "verify-ca", "verify-full")
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""Asks Postgres for TLS: https://www.postgresql.org/docs/18/protocol-message-formats.html"""


@dataclass(frozen=True)
class Served:
    """Where a certificate is served. `asks` is sent first, and answered with one byte."""

    name: str
    host: str
    port: int
    asks: bytes = b""


def served_certificates(public_url: str, redis_url: str, database_url: str) -> list[Served]:
    """Return where this installation's certificates are met; none of them if all is reached without TLS."""
    found = list[Served]()
    public, redis, postgres = urlsplit(public_url), RedisAddress.from_url(redis_url), conninfo_to_dict(database_url)
    if public.scheme == "https" and public.hostname:
        found.append(Served("public", public.hostname, public.port or 443))
    if redis.tls:
        places = redis.sentinels.hosts if redis.sentinels else ((redis.host, redis.port),)
        found += [Served("redis", host, port) for host, port in places]
    if postgres.get("sslmode") in TLS_MODES:
        servers = [(host, port) for host, port in list_servers(database_url) if host and not host.startswith("/")]
        found += [Served("postgres", host, port, SSL_REQUEST) for host, port in servers]
    return found


class CertificateCheck:
    """Checks certificates once a minute. `clock` is monotonic."""

    def __init__(
        self, served: list[Served], settings: HealthSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._served, self._days, self._clock = served, settings.certificate_days, clock
        self._looked_at = -LOOK_S
        self._left_s: dict[str, float] = {}

    async def find(self) -> Finding:
        """Raises PartDown if one is not valid, and NoData if none could be asked for."""
        if self._clock() - self._looked_at >= LOOK_S:
            left = await asyncio.gather(*(_seconds_left(one) for one in self._served))
            self._left_s = {}
            for one, s in zip(self._served, left, strict=True):
                if s is not None:  # of several servers of one name, the certificate that ends first
                    self._left_s[one.name] = min(s, self._left_s.get(one.name, s))
            self._looked_at = self._clock()
        detail = {f"{name}_days": round(left_s / DAY_S, 1) for name, left_s in self._left_s.items()}
        if not self._left_s:
            raise NoData
        name, left_s = min(self._left_s.items(), key=lambda found: found[1])
        if left_s <= 0:
            raise PartDown(f"The certificate of {WHOSE[name]} is not valid now.", detail=detail)
        trouble = f"The certificate of {WHOSE[name]} ends in {left_s / DAY_S:.1f} days."
        return Finding(detail, trouble if left_s < self._days * DAY_S else None)


WHOSE = {"public": "the public address", "redis": "Redis", "postgres": "Postgres"}


async def _seconds_left(served: Served) -> float | None:
    """Return how long a certificate is valid, 0 if it isn't now; None if it can't be asked for."""
    try:
        async with asyncio.timeout(ANSWER_S):
            data = await _ask(served)
    except (OSError, asyncio.IncompleteReadError):
        return None  # what is down is another part's to tell; a TimeoutError is an OSError
    certificate, now = x509.load_der_x509_certificate(data), datetime.now(UTC)
    if now < certificate.not_valid_before_utc:
        return 0.0
    return max(0.0, (certificate.not_valid_after_utc - now).total_seconds())


async def _ask(served: Served) -> bytes:
    """Return a server's certificate, whatever it is worth. Raises OSError."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(served.host, served.port)
    try:
        if served.asks:
            writer.write(served.asks)
            await reader.readexactly(1)
        await writer.start_tls(context, server_hostname=served.host)
        return writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
