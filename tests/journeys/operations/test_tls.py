"""TLS as operators use it: a certificate is renewed under open streams, a process is killed, and no stream is dropped."""

import asyncio
import ssl

import aiohttp
import httpx
import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from schema.identity.api_keys import new_api_key
from schema.installation.bootstrap import ensure_api_key
from schema.vault import PLATFORM
from tests.conftest import TestTenant
from tests.counterparts.behaviours import text
from tests.journeys.client import Client, Stream, assert_complete
from tests.system import System, free_port
from tests.waiting import PATIENCE_S, pauses
from tests.workers.certificates.authority import Authority

AUTHORITY = Authority()
TRUST = ssl.create_default_context(cadata=AUTHORITY.root)
PATH = "/api/admin/certificates"
STREAMS, WORDS = 50, 60  # at each of two processes


@pytest.fixture
async def tls_ports(system: System) -> dict[str, int]:
    """Two more API processes that serve TLS, with their ports."""
    ports = {name: free_port() for name in ("api2", "api3")}
    for name, port in ports.items():
        system.env["HEADRACE_TLS_PORT"] = str(port)
        system.start(name)
    del system.env["HEADRACE_TLS_PORT"]
    await asyncio.gather(*map(system.ready, ports))
    return ports


@pytest.fixture
async def admin(system: System, shared_url: str):
    key = new_api_key()
    with psycopg.connect(shared_url) as db:
        ensure_api_key(db, PLATFORM, key, name="certificates", role="admin")
    async with httpx.AsyncClient(base_url=system.url, headers={"Authorization": f"Bearer {key}"}) as http:
        yield http
        for one in (await http.get(PATH)).json()["items"]:
            assert 204 == (await http.delete(f"{PATH}/{one['name']}")).status_code


async def fingerprint(port: int, host: str = "localhost") -> str | None:
    """What a new connection is shown; None if it is refused."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=TRUST, server_hostname=host)
    except (ssl.SSLError, ConnectionResetError):
        return None
    shown = x509.load_der_x509_certificate(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
    writer.close()
    return shown.fingerprint(SHA256()).hex()


async def shown(port: int, wanted: str, host: str = "localhost") -> None:
    """Wait until a process shows a certificate."""
    for pause_s in pauses(PATIENCE_S):
        if wanted == await fingerprint(port, host):
            return
        await asyncio.sleep(pause_s)
    raise AssertionError("it is not shown")


async def test_streams_outlive_a_renewal_and_the_kill_of_a_process(
    system: System, tenant: TestTenant, admin: httpx.AsyncClient, tls_ports: dict[str, int]
) -> None:
    stays, dies = tls_ports["api2"], tls_ports["api3"]
    certificate, key = AUTHORITY.issue("localhost")
    assert await fingerprint(stays) is None
    first = await admin.post(PATH, json={"name": "public", "certificate": certificate, "key": key})
    await asyncio.gather(*(shown(port, first.json()["fingerprint"]) for port in tls_ports.values()))

    async with (
        Client(f"https://localhost:{stays}", tenant.headers, trust=TRUST) as here,
        Client(f"https://localhost:{dies}", tenant.headers, trust=TRUST) as there,
    ):
        model = f"text-{WORDS}-at-8"
        kept = await asyncio.gather(*(here.ask(model) for _ in range(STREAMS)))
        moved = await asyncio.gather(*(there.ask(model) for _ in range(STREAMS)))
        await asyncio.gather(*(stream.until("message.delta") for stream in (*kept, *moved)))

        other_key = AUTHORITY.issue("localhost")[1]
        refused = await admin.put(f"{PATH}/public", json={"certificate": certificate, "key": other_key})
        assert (400, True) == (refused.status_code, "does not belong to" in refused.json()["detail"])
        renewed, new_key = AUTHORITY.issue("localhost")
        second = await admin.put(f"{PATH}/public", json={"certificate": renewed, "key": new_key})
        await asyncio.gather(*(shown(port, second.json()["fingerprint"]) for port in tls_ports.values()))
        assert all(stream.events[-1].type == "message.delta" for stream in kept)  # they are in the middle

        system.kill("api3")
        ended = await asyncio.gather(*(stream.rest() for stream in kept), *(resumed(stream, here) for stream in moved))
    assert {text(WORDS)} == {assert_complete(events) for events in ended}


async def resumed(stream: Stream, elsewhere: Client) -> list:
    """All events of a stream whose process dies, the rest of them through another."""
    with pytest.raises(aiohttp.ClientError):
        await stream.rest()
    async with await elsewhere.follow(stream.job_id, last_event_id=stream.last_seq) as rest:
        return stream.events + await rest.rest()


async def test_plain_http_sends_clients_to_tls_once_there_is_a_certificate(
    system: System, admin: httpx.AsyncClient, tls_ports: dict[str, int]
) -> None:
    port, plain = tls_ports["api2"], system.url_of("api2").replace("127.0.0.1", "localhost")
    async with httpx.AsyncClient(verify=TRUST) as http:
        assert 200 == (await http.get(f"{plain}/.well-known/jwks.json")).status_code
        made = await admin.post(f"{PATH}/self-signed", json={"name": "own", "names": ["chat.example.com"]})
        certificate, key = AUTHORITY.issue("localhost")
        public = await admin.post(PATH, json={"name": "public", "certificate": certificate, "key": key})
        await shown(port, public.json()["fingerprint"])

        moved = await http.get(f"{plain}/.well-known/jwks.json?a=b")
        assert (308, f"https://localhost:{port}/.well-known/jwks.json?a=b") == (
            moved.status_code,
            moved.headers["location"],
        )
        told = await http.get(f"{plain}/api/me", headers={"Authorization": "Bearer hr_x"})
        assert (403, "tls_required") == (told.status_code, told.json()["code"])
        assert 200 == (await http.get(f"{plain}/health/live")).status_code
        assert 404 == (await http.get(f"{plain}/.well-known/acme-challenge/{'t' * 43}")).status_code
        here = await http.get(f"https://localhost:{port}/.well-known/jwks.json")
        assert (200, "max-age=31536000") == (here.status_code, here.headers["strict-transport-security"])
        assert "strict-transport-security" not in (await http.get(f"{plain}/health/live")).headers
    own = ssl.create_default_context(cadata=made.json()["chain"])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=own, server_hostname="chat.example.com")
    writer.close()
