"""Through one API process: all clients lose their streams and come back at once. None is refused."""

import asyncio
from collections import Counter
from pathlib import Path

import aiohttp
import psycopg

from schema.identity.api_keys import new_api_key
from schema.installation.bootstrap import ensure_api_key
from tests.conftest import TestTenant, make_tenant
from tests.system import System
from tests.waiting import PATIENCE_S

CLIENTS = 200
KEYS = 50


async def rejoin(system: System, database_url: str, tenant: TestTenant, clients: int) -> Counter[str]:
    """Submit a job for each client, then join all at the same time. Return how many got which first event, or status."""
    keys = [new_api_key() for _ in range(KEYS)]
    with psycopg.connect(database_url) as db:
        for key in keys:
            ensure_api_key(db, tenant.id, key, name="test", role="member")
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        system.url, connector=connector, timeout=aiohttp.ClientTimeout(PATIENCE_S)
    ) as http:
        jobs = [await _submit(http, keys[number % KEYS]) for number in range(clients)]
        joins = [_first_event(http, job, keys[number % KEYS]) for number, job in enumerate(jobs)]
        return Counter(await asyncio.gather(*joins))


async def _submit(http: aiohttp.ClientSession, key: str) -> str:
    headers = {"Authorization": f"Bearer {key}", "Prefer": "respond-async"}
    async with http.post("/api/chat", json={"message": "Hi"}, headers=headers) as answer:
        assert 202 == answer.status, await answer.text()
        return (await answer.json())["job_id"]


async def _first_event(http: aiohttp.ClientSession, job_id: str, key: str) -> str:
    headers = {"Authorization": f"Bearer {key}"}
    async with http.get(f"/api/jobs/{job_id}/events", headers=headers) as answer:
        if answer.status != 200:
            return str(answer.status)
        async for line in answer.content:
            if line.startswith(b"event:"):
                return line.removeprefix(b"event:").strip().decode()
    return "nothing"


async def test_clients_that_come_back_at_once_all_get_their_streams(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    tenant = make_tenant(database_url, max_running=CLIENTS)
    async with System(database_url, redis_url, folder=tmp_path, roles=("api",)) as system:
        assert {"job.queued": CLIENTS} == await rejoin(system, database_url, tenant, CLIENTS)
