"""All processes are replaced one after the other under streams over TLS, which headrace serves itself, and the certificate is
renewed in between: nobody loses more than one connection, and no job."""

import asyncio
import hashlib
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import psycopg

from schema.identity.api_keys import new_api_key
from schema.installation.bootstrap import ensure_api_key
from schema.vault import PLATFORM
from tests.chaos.cluster.cases import of
from tests.chaos.cluster.cluster import DOMAIN, TLS_PORT, ClusterWorld
from tests.chaos.table import case, load_of
from tests.chaos.world import Load, World
from tests.conftest import TestTenant
from tests.waiting import PATIENCE_S, pauses

CERTIFICATES = "/api/admin/certificates"
OLD, NEW = ("api3", "api4"), ("api5", "api6")
WORKERS = ("chat", "chat2", "chat3")
STREAM = "text-300-at-5"  # a minute


@case(67, "cluster: rolling restart", where="cluster")
async def rolling_restart(world: World, load: Load, scale: float) -> list[str]:
    """New API processes are started beside the old ones, as docs/deployment.md has it, and new connections are led to them;
    workers are restarted in place."""
    cluster = of(world)
    async with serving_tls(cluster) as renew, load_of(world, load, 100 * scale, 100 * scale, over_s=4, long=STREAM):
        await asyncio.sleep(6)
        await renew()
        dropped = sum(reader.resumed > 0 for reader in load.readers)
        for name in WORKERS:
            world.kill(name, signal.SIGTERM)
            await world.back(name)
        await asyncio.gather(*(world.add(name, HEADRACE_TLS_PORT=str(TLS_PORT)) for name in NEW))
        cluster.cluster.serve_tls(*NEW)
        for name in OLD:
            world.faults += 1
            await world.remove(name)
    broken = [reader.resumed for reader in load.readers]
    world.notes.append(f"{sum(map(bool, broken))} of {len(broken)} streams reconnected, at most {max(broken)} times")
    wrong = [f"{dropped} streams were dropped by the renewal"] if dropped else []
    return wrong + ([f"a stream lost {max(broken)} connections"] if max(broken) > 1 else [])


@asynccontextmanager
async def serving_tls(world: ClusterWorld) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Two API processes serve TLS, a third worker runs, and all clients come over TLS; gives what renews the certificate."""
    key = new_api_key()
    with psycopg.connect(world.stores.database_url) as db:
        ensure_api_key(db, PLATFORM, key, name="rolling", role="admin")
    admin = Load(TestTenant(PLATFORM, "platform", key))
    await asyncio.gather(*(world.add(name, HEADRACE_TLS_PORT=str(TLS_PORT)) for name in OLD), world.add(WORKERS[-1]))
    world.keep(WORKERS[-1])
    authority = world.cluster.authority
    async with world.client(admin) as client:
        issued, own = authority.issue(DOMAIN)
        status, said = await client.post(CERTIFICATES, {"name": "public", "certificate": issued, "key": own})
        assert status == 201, said
        await shown(world, OLD, said["fingerprint"])

        async def renew() -> None:
            issued, own = authority.issue(DOMAIN)
            body = {"certificate": issued, "key": own}
            async with client.http.put(f"{CERTIFICATES}/public", json=body) as answer:
                renewed = await answer.json()
            world.faults += 1
            await shown(world, OLD, renewed["fingerprint"])

        world.cluster.serve_tls(*OLD)
        try:
            yield renew
        finally:
            world.cluster.serve_tls()
            async with client.http.delete(f"{CERTIFICATES}/public"):
                pass
            for name in (*OLD, *NEW, WORKERS[-1]):
                if name in world.system.processes:
                    await world.remove(name)


async def shown(world: ClusterWorld, names: Iterable[str], fingerprint: str) -> None:
    """Wait until processes show a certificate to whoever connects."""
    for name in names:
        for pause_s in pauses(PATIENCE_S):
            if fingerprint == await _shown_now(world, name):
                break
            await asyncio.sleep(pause_s)


async def _shown_now(world: ClusterWorld, name: str) -> str | None:
    address = world.network.addresses[name]
    try:
        _, writer = await asyncio.open_connection(address, TLS_PORT, ssl=world.cluster.trust, server_hostname=DOMAIN)
    except (ssl.SSLError, ConnectionError):
        return None
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return hashlib.sha256(certificate).hexdigest()
