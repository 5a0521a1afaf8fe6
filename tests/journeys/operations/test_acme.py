"""A certificate is ordered from an authority that speaks ACME, its challenge answered by the API, served, and renewed when it
is due. The authority is Pebble, Let's Encrypt's own for tests (Debian's package `pebble`)."""

import asyncio
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from cryptography import x509

from schema.identity.api_keys import new_api_key
from schema.installation.bootstrap import ensure_api_key
from schema.vault import PLATFORM
from tests.system import System, free_port
from tests.waiting import wait_for
from tests.workers.certificates.authority import Authority
from workers.certificates.names import names_in

pytestmark = pytest.mark.skipif(
    shutil.which("pebble") is None, reason="Pebble is not installed: apt-get install pebble"
)

AUTHORITY = Authority()
HOST = "chat.example.com"
PATH = "/api/admin/certificates"
QUICKLY = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "20"}


class Pebble:
    """The authority, and the DNS server that tells it where hosts are: here. `dead` is a name without an address."""

    def __init__(self, folder: Path, http_port: int) -> None:
        self.folder, self.port, self.management, self.dns = folder, free_port(), free_port(), free_port()
        certificate, key = AUTHORITY.issue("localhost", "127.0.0.1")
        (folder / "cert.pem").write_text(certificate)
        (folder / "key.pem").write_text(key)
        config = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(folder / "cert.pem"),
            "privateKey": str(folder / "key.pem"),
            "httpPort": http_port,
            "tlsPort": free_port(),
        }
        (folder / "pebble.json").write_text(json.dumps({"pebble": config}))
        self.directory = f"https://localhost:{self.port}/dir"

    @contextmanager
    def running(self):
        names = ["pebble-challtestsrv", "-defaultIPv6", "", "-defaultIPv4", "127.0.0.1"]
        names += ["-dns01", f"127.0.0.1:{self.dns}", "-http01", "", "-https01", "", "-tlsalpn01", "", "-management", ""]
        pebble = ["pebble", "-config", str(self.folder / "pebble.json"), "-dnsserver", f"127.0.0.1:{self.dns}"]
        with ExitStack() as stack:
            log = stack.enter_context((self.folder / "pebble.log").open("wb"))
            for command in (names, pebble):
                process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | QUICKLY)
                stack.callback(process.wait)
                stack.callback(process.kill)
            yield self

    async def trusted(self) -> ssl.SSLContext:
        """What trusts what it issues."""
        ours = ssl.create_default_context(cadata=AUTHORITY.root)
        async with httpx.AsyncClient(verify=ours) as http:

            async def root() -> str | None:
                try:
                    return (await http.get(f"https://localhost:{self.management}/roots/0")).text
                except httpx.TransportError:
                    return None

            return ssl.create_default_context(cadata=await wait_for(root, "Pebble runs"))


@pytest.fixture
async def installation(
    database_url: str, redis_url: str, tmp_path: Path
) -> AsyncIterator[tuple[System, Pebble, httpx.AsyncClient, int]]:
    plain, tls, key = free_port(), free_port(), new_api_key()
    pebble = Pebble(tmp_path, plain)
    settings = {
        "HEADRACE_TLS_PORT": str(tls),
        "HEADRACE_ACME_DIRECTORY": pebble.directory,
        "HEADRACE_ACME_EMAIL": "ops@example.com",
        "HEADRACE_CA_FILE": AUTHORITY.trusted(tmp_path),
    }
    system = System(database_url, redis_url, folder=tmp_path, roles=("api", "scheduler"), settings=settings)
    system.ports["api"] = plain
    with psycopg.connect(database_url) as db:
        db.execute("DELETE FROM certificates")
        ensure_api_key(db, PLATFORM, key, name="certificates", role="admin")
    async with AsyncExitStack() as stack:
        stack.enter_context(pebble.running())
        trust = await pebble.trusted()
        await stack.enter_async_context(system)
        admin = httpx.AsyncClient(base_url=system.url, headers={"Authorization": f"Bearer {key}"})
        yield system, pebble, await stack.enter_async_context(admin), tls, trust


async def peer(port: int, trust: ssl.SSLContext) -> x509.Certificate:
    """What a client gets that checks everything."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname=HOST)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()  # closing TLS waits for the other side, maybe beyond the end of the loop
    return x509.load_der_x509_certificate(shown)


async def test_a_certificate_is_ordered_served_and_renewed(installation: Any, database_url: str) -> None:
    _, pebble, admin, port, trust = installation
    order = {"name": "public", "names": [HOST, "www.example.com"], "terms_accepted": True}
    assert 201 == (await admin.post(f"{PATH}/acme", json=order)).status_code

    def row() -> Any:
        with psycopg.connect(database_url) as db:
            sql = "SELECT chain IS NOT NULL, fingerprint, error, next_try_at > now(), tries FROM certificates"
            found = db.execute(sql).fetchone()
            assert not found[2], found
            return found

    issued, fingerprint, error, is_planned, tries = await wait_for(lambda: row()[0] and row(), "it is issued")
    assert (True, None, True, 0) == (issued, error, is_planned, tries)

    async def served() -> Any:
        try:
            return await peer(port, trust)
        except (ssl.SSLError, ConnectionResetError):
            return None

    first = await wait_for(served, "it is served")
    assert [HOST, "www.example.com"] == sorted(names_in(first))

    with psycopg.connect(database_url) as db:  # its time has come
        db.execute("UPDATE certificates SET next_try_at = now()")
    await wait_for(lambda: row()[1] != fingerprint, "it is renewed")

    async def replaced() -> Any:
        return (await peer(port, trust)).serial_number != first.serial_number

    await wait_for(replaced, "the renewed one is served")
    with psycopg.connect(database_url) as db:
        accounts = db.execute("SELECT count(*) FROM acme_accounts WHERE directory = %s", (pebble.directory,))
        assert (1,) == accounts.fetchone()
        told = "SELECT count(*) FROM audit_log WHERE (action, target) = ('certificate.issued', 'public')"
        assert (2,) == db.execute(told).fetchone()


async def test_a_host_that_the_authority_cannot_reach_is_told_and_tried_again(installation: Any) -> None:
    system, _, admin, *_ = installation
    system.kill("scheduler")
    await admin.post(f"{PATH}/acme", json={"name": "away", "names": ["away.example.com"], "terms_accepted": True})
    system.kill("api")
    system.start("scheduler")  # nobody answers the authority

    async def error() -> str | None:
        with psycopg.connect(system.env["HEADRACE_DATABASE_URL"]) as db:
            row = db.execute("SELECT error FROM certificates WHERE name = 'away' AND next_try_at > now()").fetchone()
        return row[0] if row else None

    said = await wait_for(error, "the failure is noted")
    assert said.startswith("The authority could not check away.example.com: ")
    assert "certificate_not_issued" in system.log("scheduler")
