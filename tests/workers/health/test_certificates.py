"""Certificates are judged as servers serve them: real ones, over real connections."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from workers.health.certificates import LOOK_S, SSL_REQUEST, CertificateCheck, Served, served_certificates
from workers.health.checks import NoData, PartDown
from workers.health.settings import HealthSettings

DAY = timedelta(days=1)


def certificate(folder: Path, name: str, *, days: float, begins: timedelta = -DAY) -> ssl.SSLContext:
    """A context that serves a certificate which ends in so many days."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + days * DAY)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / f"{name}.pem"
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context


class Server:
    """A server that does nothing but TLS; as Postgres, it is asked for it."""

    def __init__(self, context: ssl.SSLContext, *, asked: bool = False) -> None:
        self.context, self.asked = context, asked

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.asked:
            assert SSL_REQUEST == await reader.readexactly(len(SSL_REQUEST))
            writer.write(b"S")
        await writer.start_tls(self.context)
        await reader.read()
        writer.close()


@asynccontextmanager
async def served(name: str, server: Server) -> AsyncIterator[Served]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        yield Served(name, "127.0.0.1", port, SSL_REQUEST if server.asked else b"")


async def test_the_certificate_that_ends_first_is_told_in_time_and_its_renewal_is_seen(tmp_path: Path) -> None:
    public = Server(certificate(tmp_path, "public", days=30))
    postgres = Server(certificate(tmp_path, "postgres", days=90), asked=True)
    now = [1000.0]
    async with served("public", public) as one, served("postgres", postgres) as other:
        check = CertificateCheck([one, other], HealthSettings(), clock=lambda: now[0])
        found = await check.find()
        assert (None, [30.0, 90.0]) == (found.trouble, [round(days) for days in found.detail.values()])
        postgres.context = certificate(tmp_path, "old", days=5.01)
        assert (await check.find()).trouble is None, "it is not asked for each time"
        now[0] += LOOK_S
        assert "The certificate of Postgres ends in 5.0 days." == (await check.find()).trouble
        for name, days, begins in (("ended", -0.5, -DAY), ("early", 9, DAY)):
            postgres.context = certificate(tmp_path, name, days=days, begins=begins)
            now[0] += LOOK_S
            with pytest.raises(PartDown, match="The certificate of Postgres is not valid now"):
                await check.find()
        postgres.context = certificate(tmp_path, "renewed", days=90)
        now[0] += LOOK_S
        assert (await check.find()).trouble is None


async def test_nothing_is_said_of_a_certificate_that_nobody_serves(unused_tcp_port: int) -> None:
    check = CertificateCheck([Served("redis", "127.0.0.1", unused_tcp_port)], HealthSettings())
    with pytest.raises(NoData):
        await check.find()


def test_only_what_is_reached_over_tls_has_a_certificate() -> None:
    assert [] == served_certificates("http://localhost:8000", "redis://h", "postgresql://h/db")
    assert [] == served_certificates("", "unix:///run/redis", "host=/run/postgresql sslmode=require")
    found = served_certificates(
        "https://headrace.example.com/x", "rediss://r:6380", "postgresql://p:6432/d?sslmode=verify-full"
    )
    assert [("public", "headrace.example.com", 443), ("redis", "r", 6380), ("postgres", "p", 6432)] == [
        (one.name, one.host, one.port) for one in found
    ]
