"""Many tenants at once through one API process and one connection: every answer holds what is the caller's, nothing else."""

import asyncio
import os
import random
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import psycopg
import pytest
from psycopg.rows import dict_row

from schema.postgres.connections import pool_for, tenant_tx
from schema.queries.sessions.sessions import list_sessions
from tests.counterparts.openai.server import OpenAIServer
from tests.isolation.eight_tenants import Asked, Tenant, make_crowd, requests
from tests.system import System
from tests.waiting import PATIENCE_S

CONNECTIONS = 64
REQUESTS = 10_000 if os.environ.get("HEADRACE_TESTS") == "full" else 1_500
CANARY = re.compile(r"canary-\w-[0-9a-f]{8}")


@pytest.fixture
def crowd(database_url: str) -> Iterator[list[Tenant]]:
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as db:
        yield make_crowd(db)


@pytest.fixture
async def system(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[System]:
    settings = {"OPENAI_API_KEY": "sk-x"}
    async with OpenAIServer() as models:
        url = models.base_url
        system = System(database_url, redis_url, folder=tmp_path, model_url=url, roles=("api",), settings=settings)
        async with system:
            yield system


async def test_every_answer_under_load_is_the_callers_own(crowd: list[Tenant], system: System) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    todo, leaks, answered = requests(crowd, REQUESTS, seed), [], 0

    async def ask_on(http: aiohttp.ClientSession) -> None:
        nonlocal answered
        for asked in todo:
            status, text = await ask(http, system, asked)
            while status == 503:  # a slow machine refuses what waits too long for a connection; clients ask again
                await asyncio.sleep(1)
                status, text = await ask(http, system, asked)
            leaks.extend(wrongs(asked, status, text, crowd))
            answered += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as http:
        await asyncio.gather(*(ask_on(http) for _ in range(CONNECTIONS)))
    assert (REQUESTS, []) == (answered, leaks[:5])


async def ask(http: aiohttp.ClientSession, system: System, asked: Asked) -> tuple[int, str]:
    method = "POST" if asked.body else "GET"
    async with http.request(method, system.url + asked.path, headers=asked.asker.headers, json=asked.body) as answer:
        return answer.status, await answer.text()


def wrongs(asked: Asked, status: int, text: str, crowd: list[Tenant]) -> Iterator[str]:
    """Say what is wrong with an answer."""
    tenant, who = asked.asker.tenant, f"{asked.path} for {asked.asker.name} of {asked.asker.tenant.holder.slug}"
    if status != asked.status:
        yield f"{who}: {status} instead of {asked.status}: {text[:300]}"
    heard = set(CANARY.findall(text))
    own = asked.asker.markers if asked.says != "the tenant's" else {tenant.holder.marker}
    if heard - own:
        yield f"{who} tells of {heard - own}"
    if asked.status < 300 and asked.says and not heard:
        yield f"{who} tells nothing: {text[:300]}"
    yield from (
        f"{who} names {other.holder.slug}"
        for other in crowd
        if other is not tenant and (other.holder.slug in text or str(other.holder.tenant_id) in text)
    )
    if asked.path == "/v1/models" and set(re.findall(r'"id":"([^"]+)"', text)) != {tenant.model, "auto"}:
        yield f"{who} lists other models than {tenant.model}: {text[:300]}"


async def test_one_connection_serves_all_tenants_in_turn_and_remembers_none(
    database_url: str, crowd: list[Tenant]
) -> None:
    async with pool_for(database_url, "headrace_app", max_size=1) as pool:
        backends, tenants = set(), crowd * 10
        random.shuffle(tenants)
        for tenant in tenants:
            holder, member = tenant.holder, tenant.askers[1]
            async with tenant_tx(pool, holder.tenant_id) as db:
                pid = await (await db.execute("SELECT pg_backend_pid() AS pid, current_user AS who")).fetchone()
                seen = await (await db.execute("SELECT id, tenant_id FROM sessions")).fetchall()
                told = await (await db.execute("SELECT DISTINCT tenant_id FROM messages")).fetchall()
            async with tenant_tx(pool, holder.tenant_id, user_id=member.user_id) as db:
                theirs = await list_sessions(db, holder.tenant_id, limit=100)
            assert pid is not None
            backends.add((pid["pid"], pid["who"]))
            assert {holder.tenant_id} == {row["tenant_id"] for row in (*seen, *told)}
            assert set(tenant.everything["sessions"]) <= {str(row["id"]) for row in seen}
            assert member.markers == {session.title for session in theirs}
        ((_, role),) = backends
        assert "headrace_app" == role


async def test_a_connection_remembers_no_tenant_whether_its_transaction_was_committed_or_failed(
    database_url: str, crowd: list[Tenant]
) -> None:
    first, second = (tenant.holder.tenant_id for tenant in crowd[:2])
    async with pool_for(database_url, "headrace_app", max_size=1) as pool:

        async def check_forgotten() -> None:
            async with pool.connection() as db:
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no tenant is set"):
                    await db.execute("SELECT * FROM sessions")

        async with tenant_tx(pool, first) as db:
            await db.execute("SELECT 1")
        await check_forgotten()
        with pytest.raises(psycopg.errors.DivisionByZero):
            async with tenant_tx(pool, first) as db:
                await db.execute("SELECT 1 / 0")
        await check_forgotten()
        async with tenant_tx(pool, second) as db:
            rows = await (await db.execute("SELECT DISTINCT tenant_id FROM sessions")).fetchall()
        assert [second] == [row["tenant_id"] for row in rows]


async def test_transactions_of_all_tenants_at_once_see_their_own(database_url: str, crowd: list[Tenant]) -> None:
    async with pool_for(database_url, "headrace_app", max_size=4) as pool:
        pool.timeout = PATIENCE_S  # sixty wait for the four connections, on whatever machine

        async def look(tenant: Tenant) -> bool:
            async with tenant_tx(pool, tenant.holder.tenant_id) as db:
                rows = await (await db.execute("SELECT tenant_id, title FROM sessions")).fetchall()
            markers = tenant.askers[0].markers
            return bool(rows) and all(row["title"] in markers for row in rows)

        answers = await asyncio.gather(*(look(tenant) for tenant in crowd * 8))
    assert [True] * 64 == answers
