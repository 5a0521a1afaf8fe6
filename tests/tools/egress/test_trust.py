"""Servers with a certificate of the operator's own authority are trusted where its file says so, and nowhere else."""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from graphs.providers.registry import open_session
from schema.errors import EgressFailed
from tests.tools.egress_servers import serve_page_over_tls
from tests.workers.certificates.authority import Authority
from tools.data_source import DataSource, connect_read_only, resolve_dsn
from tools.egress import EgressPolicy, open_client
from tools.egress.trust import as_file, ca_file_from
from tools.errors import ToolUnavailable
from workers.certificates.contexts import server_context

AUTHORITY, OTHER = Authority(), Authority()
SERVER = server_context(*AUTHORITY.issue("localhost", "127.0.0.1"))
HERE = {"HEADRACE_EGRESS_ALLOW": "127.0.0.1,localhost"}
SSL_REQUEST = struct.pack("!ii", 8, 80877103)


def policy(folder: Path, authority: Authority | None) -> EgressPolicy:
    return EgressPolicy.from_env(HERE | ({"HEADRACE_CA_FILE": authority.trusted(folder)} if authority else {}))


@asynccontextmanager
async def postgres_over_tls() -> AsyncIterator[tuple[int, list[bytes]]]:
    """What a Postgres does first: TLS. Yields its port, and what came through it."""
    came: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert SSL_REQUEST == await reader.readexactly(8)
        writer.write(b"S")
        try:
            await writer.start_tls(SERVER)
            came.append(await reader.read(200))
        except (ssl.SSLError, ConnectionError):
            pass
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], came


async def test_tools_trust_the_operators_authority(tmp_path: Path) -> None:
    async with serve_page_over_tls(SERVER) as port:
        url = f"https://127.0.0.1:{port}/"
        async with open_client(policy(tmp_path, AUTHORITY)) as client:
            assert 200 == (await client.get(url)).status_code
        for authority in (None, OTHER):
            async with open_client(policy(tmp_path, authority)) as client:
                with pytest.raises(EgressFailed):
                    await client.get(url)


async def test_models_trust_the_operators_authority(tmp_path: Path) -> None:
    async with serve_page_over_tls(SERVER) as port:
        url = f"https://localhost:{port}/"
        async with open_session(ca_file=AUTHORITY.trusted(tmp_path)) as session, session.get(url) as answer:
            assert 200 == answer.status
        async with open_session() as session:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(url)


@pytest.mark.parametrize(
    ("sslmode", "ca", "file", "trusts"),
    [
        ("", AUTHORITY, None, True),
        ("disable", AUTHORITY, None, True),
        ("", OTHER, None, False),
        ("verify-full", None, AUTHORITY, True),
        ("verify-full", None, OTHER, False),
        ("verify-full", OTHER, AUTHORITY, False),
    ],
)
async def test_a_data_source_is_checked_with_its_own_authority(
    tmp_path: Path, sslmode: str, ca: Authority | None, file: Authority | None, trusts: bool
) -> None:
    async with postgres_over_tls() as (port, came):
        mode = f"?sslmode={sslmode}" if sslmode else ""
        dsn = await resolve_dsn(f"postgresql://reader:w@localhost:{port}/shop{mode}", policy(tmp_path, file))
        with pytest.raises(ToolUnavailable):  # which is no database
            async with connect_read_only(DataSource(name="shop", dsn=dsn, ca=ca and ca.root)):
                pass
    assert trusts == (b"reader" in b"".join(came))


@pytest.mark.parametrize("content", [None, "", "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"])
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=r"^HEADRACE_CA_FILE: .*ca\.pem"):
        ca_file_from({"HEADRACE_CA_FILE": str(path)})


def test_a_text_is_a_file_for_a_moment() -> None:
    with as_file("hello") as path:
        assert "hello" == Path(path).read_text()
    assert not Path(path).exists()
