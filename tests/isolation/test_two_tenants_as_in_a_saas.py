"""Two customers of one installation, made by its admin over HTTP: each with models, a provider key and limits of its own.

Both bring a key for the same service, at a model server of their own; the installation has a third server and key, which
nobody was given.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from schema.installation.bootstrap import add_platform_admin
from tests.api.people import bearer
from tests.counterparts.openai.server import OpenAIServer
from tests.system import System
from tests.waiting import PATIENCE_S, eventually

TENANTS = "/api/admin/tenants"
HOUSE_KEY = "sk-house-" + "h0u5e" * 8
PAGES = (
    *("/api/sessions", "/api/jobs", "/api/usage?by=model&by=user", "/api/audit", "/api/users", "/api/auth/keys"),
    *("/api/api-keys", "/api/tenant", "/api/tenant/metrics", "/v1/models"),
)


@dataclass(frozen=True)
class Customer:
    """A tenant as its people have it: a client with its key, and the model server that its provider key opens."""

    http: httpx.AsyncClient
    slug: str
    id: str
    vendor: OpenAIServer
    vendor_key: str
    word: str
    models: tuple[str, ...]

    async def ask(self, model: str | None = None) -> httpx.Response:
        """Send a message that says this customer's word."""
        return await self.http.post("/api/chat", json={"message": f"Say {self.word}.", "model": model})

    def heard(self) -> list[tuple[str, str]]:
        """Return what this customer's model server was asked: the key that came, and the message."""
        return chats_of(self.vendor)

    async def pages(self) -> dict[str, str]:
        """Return all that this customer can look at."""
        answers = {path: await self.http.get(path) for path in PAGES}
        assert {200} == {answer.status_code for answer in answers.values()}, answers
        return {path: answer.text for path, answer in answers.items()}


def chats_of(server: OpenAIServer) -> list[tuple[str, str]]:
    """Return the chats that a model server was asked for: the key that came, and the messages."""
    chats = [record for record in server.requests if record.path.endswith("/chat/completions")]
    return [(record.headers["authorization"], str(record.body["messages"])) for record in chats]


@dataclass(frozen=True)
class Installation:
    """A running headrace, its admin's client, and the house's own model server."""

    system: System
    admin: httpx.AsyncClient
    house: OpenAIServer

    async def take_in(self, stack: AsyncExitStack, *models: str, **settings: Any) -> Customer:
        """Make a tenant, and let it store the key of a model server of its own."""
        word = f"canary-{uuid4().hex[:8]}"
        vendor_key = f"sk-{word}-{uuid4().hex}"
        vendor = await stack.enter_async_context(OpenAIServer(key=vendor_key))
        body = {"slug": f"c-{uuid4().hex[:8]}", "name": word, "models": models, "default_model": models[0], **settings}
        made = await self.admin.post(TENANTS, json=body)
        assert 201 == made.status_code, made.text
        allowed = await self.admin.put(f"{TENANTS}/{body['slug']}/egress/providers/127.0.0.1")
        assert allowed.is_success, allowed.text
        http = httpx.AsyncClient(base_url=self.system.url, headers=bearer(made.json()["api_key"]), timeout=PATIENCE_S)
        await stack.enter_async_context(http)
        stored = await http.post(
            "/api/api-keys",
            json={"service_name": "openai", "api_key": vendor_key, "base_url": vendor.base_url, "validate": True},
        )
        assert 201 == stored.status_code, stored.text
        return Customer(http, body["slug"], made.json()["id"], vendor, vendor_key, word, models)


@pytest.fixture(scope="module")
async def installation(
    database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    folder, admin = tmp_path_factory.mktemp("saas"), bearer(add_platform_admin(database_url))
    async with OpenAIServer(key=HOUSE_KEY) as house:
        settings = {"OPENAI_API_KEY": HOUSE_KEY}
        system = System(database_url, redis_url, folder=folder, model_url=house.base_url, settings=settings)
        async with system, httpx.AsyncClient(base_url=system.url, headers=admin, timeout=PATIENCE_S) as http:
            yield Installation(system, http, house)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def acme(installation: Installation, stack: AsyncExitStack) -> Customer:
    return await installation.take_in(stack, "openai/text-100", "openai/tool-call")


@pytest.fixture
async def bolt(installation: Installation, stack: AsyncExitStack) -> Customer:
    return await installation.take_in(stack, "openai/reasoning", "openai/stamped-100-at-50")


async def test_each_is_shown_the_models_that_it_was_granted(acme: Customer, bolt: Customer) -> None:
    for customer, other in ((acme, bolt), (bolt, acme)):
        listed = (await customer.http.get("/v1/models")).json()["data"]
        assert {*customer.models, "auto"} == {model["id"] for model in listed}
        for model in customer.models:
            assert 200 == (await customer.http.get(f"/v1/models/{model}")).status_code
        for model in other.models:
            answer = await customer.http.get(f"/v1/models/{model}")
            assert (404, "model_not_found") == (answer.status_code, answer.json()["error"]["code"])


async def test_each_ones_chats_reach_its_own_provider_with_its_own_key(
    installation: Installation, acme: Customer, bolt: Customer
) -> None:
    openai, before = {"messages": [{"role": "user", "content": "Hi."}]}, chats_of(installation.house)
    answers = await asyncio.gather(*(customer.ask() for customer in (acme, bolt) * 4))
    answers += [await c.http.post("/v1/chat/completions", json=openai | {"model": c.models[0]}) for c in (acme, bolt)]
    assert [200] * 10 == [answer.status_code for answer in answers]
    for customer in (acme, bolt):
        heard = customer.heard()
        assert (5, {f"Bearer {customer.vendor_key}"}) == (len(heard), {key for key, _ in heard})
        assert 4 == sum(customer.word in message for _, message in heard)
    assert before == chats_of(installation.house)


async def test_a_model_that_is_not_granted_is_refused_by_name_and_nobody_is_asked(
    installation: Installation, acme: Customer, bolt: Customer
) -> None:
    for customer, model in (
        (acme, bolt.models[0]),
        (bolt, acme.models[0]),
        (acme, "ollama/llama3"),
        (bolt, "text-100"),
    ):
        native = await customer.ask(model)
        openai = await customer.http.post(
            "/v1/chat/completions", json={"model": model, "messages": [{"role": "user", "content": "Hi."}]}
        )
        assert (400, "model_unknown", 404) == (native.status_code, native.json()["code"], openai.status_code)
        assert model in native.json()["detail"]
        assert model in openai.json()["error"]["message"]
        assert bolt.vendor.url not in native.text
    assert ([], []) == (acme.heard(), bolt.heard())


async def test_neither_finds_a_trace_of_the_other(acme: Customer, bolt: Customer) -> None:
    accounts = {}
    for customer in (acme, bolt):
        answers = [await customer.ask() for _ in range(2)]
        accounts[customer.slug] = [answer.json()[name] for answer in answers for name in ("job_id", "session_id")]
    for customer, other in ((acme, bolt), (bolt, acme)):
        strange = (
            other.word,
            other.slug,
            other.id,
            other.vendor_key,
            other.vendor.url,
            other.models[0],
            *accounts[other.slug],
        )
        for path, text in (await customer.pages()).items():
            assert [] == [word for word in strange if word in text], path
            assert customer.vendor_key not in text
        used = (await customer.http.get("/api/usage")).json()["total"]
        assert 2 == used["jobs"]
        for job, session in zip(*(iter(accounts[other.slug]),) * 2, strict=True):
            paths = (f"/api/jobs/{job}", f"/api/jobs/{job}/events", f"/api/sessions/{session}/messages")
            assert [404] * 3 == [(await customer.http.get(path)).status_code for path in paths]


async def test_a_key_that_one_forgets_is_not_replaced_by_the_others(
    installation: Installation, acme: Customer, bolt: Customer
) -> None:
    assert 204 == (await acme.http.delete("/api/api-keys/openai")).status_code

    async def houses_key() -> set[str]:
        await acme.ask()
        return {key for key, message in chats_of(installation.house) if acme.word in message}

    await eventually(houses_key, {f"Bearer {HOUSE_KEY}"})
    assert [] == bolt.heard()


async def test_the_limit_of_one_is_no_limit_of_the_other(installation: Installation, stack: AsyncExitStack) -> None:
    model = "openai/text-100"
    small = await installation.take_in(stack, model, limits={"requests_per_minute": 2, "budget_day_usd": 10})
    large = await installation.take_in(stack, model, limits={"requests_per_minute": 1000})
    refused = [(await small.ask()).status_code for _ in range(4)]
    assert [200, 200, 429, 429] == refused
    assert [200] * 4 == [(await large.ask()).status_code for _ in range(4)]
    assert 2 == len(small.heard())


async def test_a_flood_of_reads_and_searches_of_one_is_refused_and_the_other_is_served(
    installation: Installation, stack: AsyncExitStack
) -> None:
    """The defaults are for nobody to notice; who floods has them at some time, here sooner."""
    rates = {"reads_per_minute": 50, "searches_per_minute": 10}
    flood = await installation.take_in(stack, "openai/text-100", limits=rates)
    calm = await installation.take_in(stack, "openai/text-100")

    async def read(customer: Customer) -> int:
        return (await customer.http.get("/api/jobs")).status_code

    async def search(customer: Customer) -> int:
        body = {"query": "notice period", "mode": "text"}
        return (await customer.http.post("/api/search", json=body)).status_code

    floods = [read(flood) for _ in range(300)] + [search(flood) for _ in range(60)]
    others = [read(calm) for _ in range(60)] + [search(calm) for _ in range(15)]
    told = await asyncio.gather(*floods, *others)
    assert (50, 250) == (told[:300].count(200), told[:300].count(429))
    assert (10, 50) == (told[300:360].count(200), told[300:360].count(429))
    assert [200] * 75 == told[360:]
    assert 200 == (await flood.ask()).status_code


async def test_two_processes_share_a_rate(installation: Installation, stack: AsyncExitStack) -> None:
    flood = await installation.take_in(stack, "openai/text-100", limits={"reads_per_minute": 20})
    assert [200] * 20 + [429] == [(await flood.http.get("/api/jobs")).status_code for _ in range(21)]
    installation.system.start("api2")
    await installation.system.ready("api2")
    key = {"Authorization": flood.http.headers["Authorization"]}
    async with httpx.AsyncClient(base_url=installation.system.url_of("api2"), headers=key, timeout=PATIENCE_S) as other:

        async def read() -> int:
            return (await other.get("/api/jobs")).status_code

        await eventually(read, 429)


async def test_suspending_one_shuts_it_out_within_a_second_and_leaves_the_other_alone(
    installation: Installation, acme: Customer, bolt: Customer
) -> None:
    before = [(await customer.ask()).status_code for customer in (acme, bolt)]
    assert [200, 200] == before
    assert 200 == (await installation.admin.post(f"{TENANTS}/{acme.slug}/suspend")).status_code

    async def answered() -> list[int]:
        paths = ("/api/sessions", "/v1/models", "/api/tenant", "/api/audit")
        return [(await acme.http.get(path)).status_code for path in paths] + [(await acme.ask()).status_code]

    await eventually(answered, [403] * 5)
    assert "tenant_suspended" == (await acme.http.get("/api/tenant")).json()["code"]
    assert 200 == (await bolt.ask()).status_code
    assert 200 == (await installation.admin.post(f"{TENANTS}/{acme.slug}/resume")).status_code
    await eventually(answered, [200] * 5)


async def test_deleting_one_shuts_it_out_within_a_second_and_leaves_the_other_all_that_it_has(
    installation: Installation, acme: Customer, bolt: Customer
) -> None:
    kept = [(await customer.ask()).json()["session_id"] for customer in (acme, bolt)][1]
    deleted = await installation.admin.delete(f"{TENANTS}/{acme.slug}", params={"confirm": acme.slug})
    assert 202 == deleted.status_code

    async def shut_out() -> bool:
        answers = [await acme.http.get("/api/sessions"), await acme.ask()]
        return all(answer.status_code in (401, 403) for answer in answers)

    await eventually(shut_out, True)
    assert 200 == (await bolt.ask()).status_code
    assert 200 == (await bolt.http.get(f"/api/sessions/{kept}/messages")).status_code
    assert ["openai"] == [key["service_name"] for key in (await bolt.http.get("/api/api-keys")).json()["configured"]]
    names = (await installation.admin.get(TENANTS, params={"search": bolt.slug})).json()["items"]
    assert [(bolt.slug, "active")] == [(item["slug"], item["state"]) for item in names]
