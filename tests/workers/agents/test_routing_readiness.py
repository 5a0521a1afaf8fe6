"""What a worker has loaded before its first question, and what it says when it can't."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any
from unittest.mock import AsyncMock

import pytest

from graphs.providers.errors import ProviderUnknown
from graphs.routing.router import Router
from graphs.routing.semantic import VectorCache
from schema import redis_names
from schema.events import AgentRouted
from tests.conftest import TestTenant, make_tenant
from tests.journeys.agent_setup import add_agent
from tests.waiting import PATIENCE_S, wait_for
from tests.workers.agent_runs import open_agent_worker
from tests.workers.jobs import worker_context
from workers.agents import routing_readiness
from workers.agents.configuration import routing_candidates
from workers.context import WorkerContext
from workers.queue.job_core import JobCore

QUESTION = "Which overdue invoices does this customer have?"
MANY = [f"Show me debt number {number} of this {part}" for number in range(20) for part in ("year", "month")]


@pytest.fixture(autouse=True)
async def nobody_was_routed(core: JobCore) -> AsyncIterator[None]:
    await core.redis.call("DEL", redis_names.ROUTED)
    yield
    await core.redis.call("DEL", redis_names.ROUTED)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Embedding takes as long as a busy machine needs."""
    monkeypatch.setattr("graphs.routing.router.VECTORS_WAIT_S", PATIENCE_S)
    monkeypatch.setattr(routing_readiness, "PREPARE_S", PATIENCE_S)


@pytest.fixture
def debtors(database_url: str, tenant: TestTenant) -> TestTenant:
    """A tenant whose agents have more texts than are embedded in one call."""
    about = "Debts of customers: what a customer owes, overdue invoices, outstanding payments."
    add_agent(database_url, tenant, "Debt", description=about, examples=MANY)
    add_agent(database_url, tenant, "Stock", description="What is in the warehouse.", examples=["How many pumps?"])
    return tenant


async def has_vectors(worker: WorkerContext, tenant: TestTenant) -> bool:
    """Whether the router has these agents' vectors already."""
    candidates = routing_candidates(await worker.agents.configurations.get_latest(tenant.id))
    found = worker.agents.router._candidate_sets.get(candidates)
    return found is not None and found.has_vectors


async def forget_vectors(core: JobCore, instead: bytes) -> None:
    """Put something else where the vectors of agents' texts are."""
    keys = await core.redis.call("KEYS", redis_names.routing_vector("*"))
    await core.redis.send([("SET", key, instead) for key in keys])


async def by_words(core: JobCore) -> int:
    """How many workers route by words, as /health counts them."""
    return (await core.redis.call("PUBSUB", "NUMSUB", redis_names.ROUTES_BY_WORDS))[1]


def is_loaded(worker: WorkerContext) -> bool:
    embedder: Any = worker.agents.router._vectors
    return embedder._embedder.embedder._loaded is not None


async def test_the_first_question_after_a_start_is_routed_by_meaning(
    database_url: str, redis_url: str, debtors: TestTenant
) -> None:
    async with open_agent_worker(database_url, redis_url) as worker:
        answer = await worker.asker(debtors).ask(QUESTION, agent="auto")
    (routed,) = [event for event in answer.events if isinstance(event, AgentRouted)]
    assert ("Debt", "The words and meaning of the message fit this agent.") == (routed.agent, routed.reason)


async def test_a_worker_prepares_while_it_works_for_those_who_asked_of_late(
    core: JobCore, database_url: str, redis_url: str, debtors: TestTenant
) -> None:
    other = make_tenant(database_url)
    add_agent(database_url, other, "Leave", description="Holidays.", examples=["How many days of leave do I have?"])
    async with open_agent_worker(database_url, redis_url) as worker:
        await worker.asker(debtors).ask(QUESTION, agent="auto")
    async with worker_context(database_url, redis_url) as worker:
        await wait_for(lambda: has_vectors(worker, debtors), "what was asked for of late is prepared")
        assert not await has_vectors(worker, other)
    assert 0 == await by_words(core)


async def test_a_worker_that_starts_reads_the_vectors_that_another_embedded(
    core: JobCore, database_url: str, redis_url: str, debtors: TestTenant
) -> None:
    async with worker_context(database_url, redis_url) as worker:
        candidates = routing_candidates(await worker.agents.configurations.get_latest(debtors.id))
        await worker.agents.router.prepare(candidates)
    async with worker_context(database_url, redis_url) as worker:
        await worker.agents.router.prepare(candidates)
        assert (True, False) == (await has_vectors(worker, debtors), is_loaded(worker))
    await forget_vectors(core, b"not a vector")
    async with worker_context(database_url, redis_url) as worker:
        await worker.agents.router.prepare(candidates)
        assert (True, True) == (await has_vectors(worker, debtors), is_loaded(worker))


async def test_where_no_agent_is_asked_for_nothing_is_loaded(
    database_url: str, redis_url: str, debtors: TestTenant
) -> None:
    async with open_agent_worker(database_url, redis_url) as worker:
        await worker.asker(debtors).ask(QUESTION, agent="Debt")
    async with worker_context(database_url, redis_url) as opened:
        assert not is_loaded(opened)


async def test_only_workers_that_answer_chats_prepare(
    core: JobCore, database_url: str, redis_url: str, debtors: TestTenant
) -> None:
    await core.redis.call("ZADD", redis_names.ROUTED, 2e9, str(debtors.id))
    async with worker_context(database_url, redis_url, queue="default") as opened:
        assert not is_loaded(opened)


async def test_a_question_waits_for_no_vectors_that_are_still_made(
    database_url: str, redis_url: str, debtors: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = asyncio.Event()

    async def embed_slowly(self: VectorCache, texts: Sequence[str]) -> None:
        await made.wait()
        raise ProviderUnknown("The test is over.")

    monkeypatch.setattr("graphs.routing.router.VECTORS_WAIT_S", 0.01)
    monkeypatch.setattr(VectorCache, "embed_examples", embed_slowly)
    async with worker_context(database_url, redis_url) as worker:
        router = worker.agents.router
        candidates = routing_candidates(await worker.agents.configurations.get_latest(debtors.id))
        assert "Debt" == (await router.route(QUESTION, candidates)).agent
        made.set()


async def test_a_worker_without_its_embedder_starts_and_says_so_until_it_has_it(
    core: JobCore, database_url: str, redis_url: str, debtors: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await core.redis.call("ZADD", redis_names.ROUTED, 2e9, str(debtors.id))
    monkeypatch.setattr(routing_readiness, "AGAIN_S", 0.2)
    missing = ProviderUnknown("The weights are not installed.")
    with monkeypatch.context() as broken:
        broken.setattr(Router, "prepare", AsyncMock(side_effect=missing))
        async with worker_context(database_url, redis_url) as opened:

            async def says_so() -> bool:
                return 1 == await by_words(core)

            await wait_for(says_so, "the worker says that it routes by words")
            assert not is_loaded(opened)
            broken.undo()

            async def is_mended() -> bool:
                return 0 == await by_words(core)

            await wait_for(is_mended, "the worker says that it compares meanings again")
            assert await has_vectors(opened, debtors)


async def test_tenants_that_were_deleted_or_asked_long_ago_are_left_out(
    core: JobCore, database_url: str, redis_url: str, debtors: TestTenant
) -> None:
    await core.redis.call("ZADD", redis_names.ROUTED, 2e9, "00000000-0000-0000-0000-0000000000aa")
    await core.redis.call("ZADD", redis_names.ROUTED, 1e9, str(debtors.id))
    async with worker_context(database_url, redis_url) as opened:
        assert not is_loaded(opened)
    assert 1 == await core.redis.call("ZCARD", redis_names.ROUTED)
