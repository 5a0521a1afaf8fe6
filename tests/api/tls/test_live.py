"""A handshake gets the certificate of the name that it asks for, as the table has it now; a wrong row changes nothing."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from cryptography import x509
from structlog.testing import capture_logs

from api.tls.live import LiveCertificates
from schema.ids import new_id
from schema.postgres.connections import tenant_tx
from schema.queries.certificates import certificates as queries
from schema.vault import PLATFORM, Vault, new_secret_key
from tests.secret import VAULT
from tests.workers.certificates.authority import Authority
from workers.certificates.checking import check_pair
from workers.certificates.names import names_in
from workers.queue.job_core import JobCore

AUTHORITY = Authority()
REFUSALS = (ssl.SSLError, ConnectionResetError)
OLDEST = ssl.TLSVersion.MINIMUM_SUPPORTED


@pytest.fixture(autouse=True)
def none_are_left(database_url: str) -> None:
    with psycopg.connect(database_url) as db:
        db.execute("DELETE FROM certificates")


async def store(
    core: JobCore, name: str, *names: str, vault: Vault = VAULT, origin: queries.Origin = "uploaded"
) -> None:
    """Store a certificate, in place of one with this name."""
    checked = check_pair(*AUTHORITY.issue(*names))
    async with tenant_tx(core.pool, PLATFORM) as db:
        was = await queries.find_certificate(db, name)
        owner = was.id if was else new_id()
        sealed = vault.seal(checked.key, tenant_id=PLATFORM, owner_id=owner)
        if was:
            assert await queries.replace_certificate(db, was, sealed=sealed, **checked.columns)
        else:
            await queries.add_certificate(db, owner, name=name, origin=origin, sealed=sealed, **checked.columns)


@asynccontextmanager
async def listening(live: LiveCertificates) -> AsyncIterator[int]:
    """A server that sends back what it gets; yields its port."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.transport.abort()  # closing TLS waits for the other side, maybe beyond the end of the loop

    async with await asyncio.start_server(echo, "127.0.0.1", 0, ssl=live.front) as server:
        yield server.sockets[0].getsockname()[1]


async def connect(
    port: int, host: str | None, **options: object
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, list[str], str]:
    """Connect, and return what is said there, the names of the certificate, and the version of TLS."""
    context = ssl.create_default_context(cadata=AUTHORITY.root)
    context.check_hostname = False
    for name, value in options.items():
        setattr(context, name, value)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host or "")
    tls = writer.get_extra_info("ssl_object")
    names = names_in(x509.load_der_x509_certificate(tls.getpeercert(binary_form=True)))
    return reader, writer, names, tls.version()


async def served(port: int, host: str | None, **options: object) -> list[str]:
    _, writer, names, _ = await connect(port, host, **options)
    writer.transport.abort()
    return names


async def test_each_name_gets_its_certificate(core: JobCore) -> None:
    await store(core, "first", "a.example")
    await store(core, "second", "b.example", "*.b.example")
    await store(core, "exact", "x.b.example")
    await store(core, "own", "x.b.example", "own.example", origin="self_signed")
    live = LiveCertificates(core.pool, VAULT)
    await live.refresh()
    async with listening(live) as port:
        assert ["a.example"] == await served(port, "a.example")
        assert ["a.example"] == await served(port, "A.Example")
        assert ["b.example", "*.b.example"] == await served(port, "any.b.example")
        assert ["x.b.example"] == await served(port, "x.b.example")
        assert ["x.b.example", "own.example"] == await served(port, "own.example")
        assert ["a.example"] == await served(port, "unknown.example")  # the oldest
        assert ["a.example"] == await served(port, None)


async def test_a_renewed_certificate_is_served_and_open_connections_go_on(core: JobCore) -> None:
    await store(core, "public", "a.example")
    live = LiveCertificates(core.pool, VAULT)
    await live.refresh()
    async with listening(live) as port:
        reader, writer, before, version = await connect(port, "a.example")
        assert (["a.example"], "TLSv1.3") == (before, version)
        await store(core, "public", "a.example", "renewed.example")
        await live.refresh()
        assert ["a.example", "renewed.example"] == await served(port, "a.example")
        writer.write(b"still here\n")
        assert b"still here\n" == await reader.readline()
        writer.transport.abort()


async def test_a_row_that_cannot_be_used_is_left_out_and_told_once(core: JobCore, database_url: str) -> None:
    await store(core, "good", "a.example")
    live = LiveCertificates(core.pool, VAULT)
    await live.refresh()
    async with listening(live) as port:
        with capture_logs() as lines:
            await store(core, "sealed with another key", "b.example", vault=Vault([new_secret_key()]))
            await store(core, "good", "a.example", "new.example", vault=Vault([new_secret_key()]))
            await store(core, "no certificate", "c.example")
            with psycopg.connect(database_url) as db:
                db.execute("UPDATE certificates SET chain = 'nonsense' WHERE name = 'no certificate'")
            await live.refresh()
            await live.refresh()
        told = sorted((line["name"], line["kept"]) for line in lines if line["event"] == "certificate_unusable")
        assert [("good", True), ("no certificate", False), ("sealed with another key", False)] == told
        assert ["a.example"] == await served(port, "b.example")  # what it had before
        await store(core, "good", "a.example", "mended.example")
        await live.refresh()
        assert ["a.example", "mended.example"] == await served(port, "a.example")


async def test_without_a_certificate_no_handshake_succeeds_until_there_is_one(core: JobCore) -> None:
    live = LiveCertificates(core.pool, VAULT)
    await live.refresh()
    assert not live.usable
    async with listening(live) as port:
        with pytest.raises(REFUSALS):
            await served(port, "a.example")
        await store(core, "public", "a.example")
        await live.refresh()
        assert ["a.example"] == await served(port, "a.example")


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    ("minimum", "refused", "taken"), [("1.2", "TLSv1_1", "TLSv1_2"), ("1.3", "TLSv1_2", "TLSv1_3")]
)
async def test_old_versions_of_tls_are_refused(core: JobCore, minimum: str, refused: str, taken: str) -> None:
    await store(core, "public", "a.example")
    live = LiveCertificates(core.pool, VAULT, minimum=minimum)
    await live.refresh()
    async with listening(live) as port:
        assert ["a.example"] == await served(port, "a.example", maximum_version=ssl.TLSVersion[taken])
        with pytest.raises(REFUSALS):
            await served(port, "a.example", minimum_version=OLDEST, maximum_version=ssl.TLSVersion[refused])
