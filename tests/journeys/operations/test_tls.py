"""TLS as operators use it: a certificate is renewed under open streams, a process is killed, and no stream is dropped."""

import asyncio
import signal
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from api.__main__ import main
from api.cli.doctor import certificates
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
    system.env["HEADRACE_TRUSTED_PROXIES"] = "127.0.0.1"
    ports = {name: free_port() for name in ("api2", "api3")}
    for name, port in ports.items():
        system.env["HEADRACE_TLS_PORT"] = str(port)
        system.start(name)
    del system.env["HEADRACE_TLS_PORT"], system.env["HEADRACE_TRUSTED_PROXIES"]
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
    writer.transport.abort()  # closing TLS waits for the other side, maybe beyond the end of the loop
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
        assert await system.stop("api2") in (0, -signal.SIGTERM)  # with connections of clients that stay
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
    from_elsewhere = {"X-Forwarded-For": "203.0.113.7"}
    async with httpx.AsyncClient(verify=TRUST, headers=from_elsewhere) as http:
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
        assert told.json()["request_id"] == told.headers["x-request-id"]
        vendors = await http.get(f"{plain}/v1/models", headers={"Authorization": "Bearer hr_x"})
        assert (403, "tls_required") == (vendors.status_code, vendors.json()["error"]["code"])
        assert 200 == (await http.get(f"{plain}/health/live")).status_code
        here_itself = await http.get(f"{plain}/.well-known/jwks.json", headers={"X-Forwarded-For": "127.0.0.1"})
        assert 200 == here_itself.status_code
        assert 404 == (await http.get(f"{plain}/.well-known/acme-challenge/{'t' * 43}")).status_code
        here = await http.get(f"https://localhost:{port}/.well-known/jwks.json")
        assert (200, "max-age=31536000") == (here.status_code, here.headers["strict-transport-security"])
        assert "strict-transport-security" not in (await http.get(f"{plain}/health/live")).headers
    own = ssl.create_default_context(cadata=made.json()["chain"])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=own, server_hostname="chat.example.com")
    writer.transport.abort()  # closing TLS waits for the other side, maybe beyond the end of the loop


async def test_the_command_line_does_all_of_it(
    system: System, admin: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("HEADRACE_URL", system.url)
    monkeypatch.setenv("HEADRACE_ADMIN_KEY", admin.headers["authorization"].removeprefix("Bearer "))
    paths = {name: tmp_path / name for name in ("chain", "key", "other", "signed")}
    certificate, key = AUTHORITY.issue("cli.example")
    for name, content in (("chain", certificate), ("key", key), ("other", AUTHORITY.issue("x.example")[1])):
        paths[name].write_text(content)

    async def headrace(*arguments: object) -> tuple[int, str, str]:
        status = await asyncio.to_thread(main, ["certificates", *map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out, said.err

    pair = ("--certificate", paths["chain"], "--key", paths["key"])
    assert "there are no certificates" in (await headrace("list"))[1].lower()
    assert "for      cli.example" in (await headrace("check", *pair))[1]
    for action in (("check",), ("upload", "public")):
        status, _, why = await headrace(*action, "--certificate", paths["chain"], "--key", paths["other"])
        assert (1, True) == (status, "does not belong to the certificate for cli.example" in why)
    assert 0 == (await headrace("upload", "public", *pair))[0]
    assert certificate == (await headrace("show", "public"))[1]

    csr = (await headrace("request", "asked", "asked.example"))[1]
    paths["signed"].write_text(AUTHORITY.issue(csr=csr)[0])
    assert 0 == (await headrace("replace", "asked", "--certificate", paths["signed"]))[0]
    assert 0 == (await headrace("self-signed", "own", "chat.internal", "--days", 30))[0]
    assert 0 == (await headrace("renew", "own"))[0]
    assert "agree to its terms" in (await headrace("acme", "le", "le.example"))[2]
    listed = (await headrace("list"))[1]
    assert ["asked", "own", "public"] == [line.split()[0] for line in listed.splitlines()]
    assert "self_signed  ends 20" in listed
    told = list(map(str, await asyncio.to_thread(list, certificates())))
    assert 3 == len(told)
    assert all(line.startswith("ok") for line in told)
    assert 0 == (await headrace("delete", "own"))[0]
    assert (1, "", True) == ((again := await headrace("delete", "own"))[0], again[1], "no such certificate" in again[2])
