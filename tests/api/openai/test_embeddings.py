"""`POST /v1/embeddings`: a worker's vectors and a provider's, as the official package reads them, within rights and limits."""

import base64
import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import httpx
import openai
import psycopg
import pytest

from api.openai.embeddings import LOCAL_MODEL
from api.settings import ApiSettings
from graphs.embeddings.purposes import Purpose
from graphs.providers.settings import ProviderSettings
from schema.identity.api_keys import new_api_key
from schema.installation.bootstrap import ensure_api_key
from tests.api.conftest import calling, serving
from tests.conftest import TestTenant, make_tenant
from tests.counterparts.openai.server import OpenAIServer, vector
from tests.secret import VAULT
from tools.egress import EgressPolicy
from workers.embedding.server import EmbeddingServer
from workers.redis.address import RedisAddress

MODEL = "openai/text-embedding-3-small"


class Worker:
    """What a worker embeds with; notes what it was asked. A text `refuse` fails."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int]] = []

    async def embed(self, texts: Sequence[str], *, purpose: Purpose, embedder: str, lane: str) -> list[list[float]]:
        if "refuse" in texts:
            raise RuntimeError("no")
        self.asked.append((embedder, lane, len(texts)))
        return [[float(len(text)), 0.5, *[0.0] * 382] for text in texts]


@pytest.fixture(scope="module")
async def vendor() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        yield server


@pytest.fixture(scope="module")
def settings(database_url: str, redis_url: str, vendor: OpenAIServer) -> ApiSettings:
    return ApiSettings(
        database_url=database_url,
        redis_url=redis_url,
        vault=VAULT,
        egress=EgressPolicy.from_env({"HEADRACE_EGRESS_ALLOW": "127.0.0.1"}),
        providers=ProviderSettings.from_env({"OPENAI_BASE_URL": vendor.base_url}),
    )


@pytest.fixture
async def worker(redis_url: str) -> AsyncIterator[Worker]:
    worker = Worker()
    async with EmbeddingServer(RedisAddress.from_url(redis_url), worker, queues=("query", "bulk")):
        yield worker


@pytest.fixture
def ai(api: httpx.AsyncClient, tenant: TestTenant) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url="http://test/v1", api_key=tenant.key, max_retries=0, http_client=api)


def calls_of(vendor: OpenAIServer) -> int:
    return sum(record.path.endswith("/embeddings") for record in vendor.requests)


async def post(api: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await api.post("/v1/embeddings", json={"model": LOCAL_MODEL, "input": "hi", **body})


async def test_the_official_package_reads_a_workers_vectors(ai: openai.AsyncOpenAI, worker: Worker, tenant: TestTenant):
    answer = await ai.embeddings.create(model="auto", input=["a", "bcd"])  # asks for base64, and decodes it
    assert [(0, [1.0, 0.5]), (1, [3.0, 0.5])] == [(one.index, one.embedding[:2]) for one in answer.data]
    assert 384 == len(answer.data[0].embedding)
    assert ("list", "auto", 2, 2) == (
        answer.object,
        answer.model,
        answer.usage.prompt_tokens,
        answer.usage.total_tokens,
    )
    assert [("minilm", f"query/{tenant.id}", 2)] == worker.asked


@pytest.mark.parametrize(("tokens", "lists"), [([72, 105], [[72, 105]]), ([[72], [72, 105]], [[72], [72, 105]])])
async def test_tokens_go_to_the_provider_whose_tokenizer_made_them(
    api: httpx.AsyncClient, vendor: OpenAIServer, tokens: list[Any], lists: list[list[int]]
):
    answer = (await post(api, model=MODEL, input=tokens)).json()
    assert lists == vendor.requests[-1].body["input"]
    assert (len(lists), sum(map(len, lists))) == (len(answer["data"]), answer["usage"]["prompt_tokens"])


@pytest.mark.parametrize(
    ("model", "tokens", "why"),
    [
        (LOCAL_MODEL, [1, 2], "takes texts only"),
        (MODEL, ["a", 1], "no mixture"),
        (MODEL, [[1], 2], "no mixture"),
        (MODEL, [-1], "input"),
        (MODEL, [[]], "input"),
        (MODEL, [[1] * 8000] * 40, "300,000 tokens"),
    ],
)
async def test_tokens_that_nobody_can_embed_are_refused(api: httpx.AsyncClient, model: str, tokens: Any, why: str):
    refused = await post(api, model=model, input=tokens)
    assert 400 == refused.status_code
    assert why in refused.json()["error"]["message"]


async def test_numbers_and_base64_are_the_same_vector(api: httpx.AsyncClient, worker: Worker):
    numbers = (await post(api, encoding_format="float")).json()["data"][0]["embedding"]
    packed = (await post(api, encoding_format="base64")).json()["data"][0]["embedding"]
    assert numbers == list(struct.unpack("<384f", base64.b64decode(packed)))


async def test_a_long_list_is_answered_in_order(ai: openai.AsyncOpenAI, worker: Worker):
    texts = ["x" * (number % 50 + 1) for number in range(300)]
    answer = await ai.embeddings.create(model="all-MiniLM-L6-v2", input=texts)
    assert [float(len(text)) for text in texts] == [one.embedding[0] for one in answer.data]
    assert {16, 12} == {count for _, _, count in worker.asked}


async def test_a_providers_model_is_asked_with_normalised_vectors(
    ai: openai.AsyncOpenAI, vendor: OpenAIServer, worker: Worker
):
    answer = await ai.embeddings.create(model=MODEL, input=["ab", "c"])
    length = sum(x * x for x in vector("ab")) ** 0.5
    assert [x / length for x in vector("ab")] == pytest.approx(answer.data[0].embedding, rel=1e-6)
    assert ("text-embedding-3-small", ["ab", "c"]) == (vendor.requests[-1].model, vendor.requests[-1].body["input"])
    assert [] == worker.asked


async def test_a_bare_name_is_the_default_providers(api: httpx.AsyncClient, vendor: OpenAIServer):
    answer = await post(api, model="text-embedding-3-small")
    assert (200, "text-embedding-3-small") == (answer.status_code, vendor.requests[-1].model)


async def test_a_tenants_own_key_is_used(api: httpx.AsyncClient, database_url: str, vendor: OpenAIServer):
    owner = make_tenant(database_url, role="owner")
    key = "sk-" + "a1B2" * 10
    body = {"service_name": "openai", "api_key": key, "base_url": vendor.base_url}
    async with calling(api, owner.key) as client:
        assert 201 == (await client.post("/api/api-keys", json=body)).status_code
    another = new_api_key()  # what is known of a caller is kept for a second
    with psycopg.connect(database_url) as db:
        ensure_api_key(db, owner.id, another, name="other", role="member")
    async with calling(api, another) as client:
        assert 200 == (await post(client, model=MODEL)).status_code
        assert f"Bearer {key}" == vendor.requests[-1].headers["authorization"]
        assert 200 == (await post(api, model=MODEL)).status_code
    assert "authorization" not in vendor.requests[-1].headers


async def test_vectors_are_shortened_only_where_the_model_can(api: httpx.AsyncClient, worker: Worker):
    short = (await post(api, model=MODEL, dimensions=2)).json()["data"][0]["embedding"]
    assert (2, pytest.approx(1.0)) == (len(short), sum(x * x for x in short))
    assert 200 == (await post(api, dimensions=384)).status_code
    for body in ({"dimensions": 256}, {"model": "openai/bge-m3", "dimensions": 2}, {"model": MODEL, "dimensions": 4}):
        refused = await post(api, **body)
        assert (400, "dimensions") == (refused.status_code, refused.json()["error"]["param"])


REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"input": ""}, "input"),
    ({"input": []}, "input"),
    ({"input": ["a", ""]}, "input[1]"),
    ({"input": [1, 2, 3]}, "input"),
    ({"input": [[1, 2], [3]]}, "input"),
    ({"input": ["x"] * 2049}, "input"),
    ({"input": "x" * 32_769}, "input"),
    ({"input": ["x" * 30_000] * 41}, "input"),
    ({"encoding_format": "hex"}, "encoding_format"),
    ({"dimensions": 0}, "dimensions"),
    ({"input": "a\0b"}, "input"),
)


async def test_what_can_not_be_embedded_is_refused_by_name(api: httpx.AsyncClient):
    for body, param in REFUSED:
        refused = await post(api, **body)
        error = refused.json()["error"]
        assert (400, "invalid_request_error", param) == (refused.status_code, error["type"], error["param"])


async def test_a_model_that_can_not_embed_is_not_found(api: httpx.AsyncClient, vendor: OpenAIServer):
    for model in ("nowhere/m", "offline/extractive", "sentence-transformers/x/y"):
        refused = await post(api, model=model)
        assert (404, "model_not_found") == (refused.status_code, refused.json()["error"]["code"])


async def test_a_hosted_model_that_is_not_granted_is_not_there_and_the_local_one_is(
    api: httpx.AsyncClient, database_url: str, vendor: OpenAIServer, worker: Worker
):
    other, before = make_tenant(database_url), calls_of(vendor)
    with psycopg.connect(database_url) as db:
        db.execute("DELETE FROM grants WHERE tenant_id = %s", (other.id,))
    async with calling(api, other.key) as client:
        refused = await post(client, model=MODEL)
        assert 404 == refused.status_code
        assert 200 == (await post(client)).status_code
        assert [LOCAL_MODEL] == [one["id"] for one in (await client.get("/v1/models?capability=all")).json()["data"]]
    assert before == calls_of(vendor)


async def test_without_a_worker_it_is_unavailable(api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.openai.embeddings.TIMEOUT_S", 0.05)
    answer = await post(api)
    assert (503, "service_unavailable_error", "unavailable") == (
        answer.status_code,
        answer.json()["error"]["type"],
        answer.json()["error"]["code"],
    )
    assert "No worker" in answer.json()["error"]["message"]


async def test_a_worker_that_fails_says_so_without_the_text(api: httpx.AsyncClient, worker: Worker):
    answer = await post(api, input="refuse")
    assert (500, False) == (answer.status_code, "refuse" in answer.text)


async def test_the_limit_of_requests_holds_and_a_failed_call_costs_nothing(
    api: httpx.AsyncClient, database_url: str, worker: Worker
):
    limited = make_tenant(database_url)
    with psycopg.connect(database_url) as db:
        db.execute("UPDATE tenants SET requests_per_minute = 2 WHERE id = %s", (limited.id,))
    async with calling(api, limited.key) as client:
        assert [500, 200, 500, 200, 429] == [
            (await post(client, input=text)).status_code for text in ("refuse", "a", "refuse", "b", "c")
        ]


async def test_a_viewer_may_not(api: httpx.AsyncClient, database_url: str):
    async with calling(api, make_tenant(database_url, role="viewer").key) as client:
        assert 403 == (await post(client)).status_code


async def test_what_was_embedded_is_used_and_costs_what_its_model_costs(
    api: httpx.AsyncClient, worker: Worker, database_url: str, tenant: TestTenant
):
    with psycopg.connect(database_url) as db:
        db.execute(
            "INSERT INTO models (name, input_usd, output_usd, fallbacks) VALUES (%s, 0.02, 0, '[]')"
            " ON CONFLICT DO NOTHING",
            (MODEL,),
        )
    for body in ({"model": MODEL, "input": "x" * 4000}, {"input": ["abcd", "efgh"]}, {"input": "refuse"}):
        await post(api, **body)
    with psycopg.connect(database_url) as db:
        found = db.execute(
            "SELECT model, jobs, input_tokens, output_tokens, cost_nanos FROM usage_records WHERE tenant_id = %s ORDER BY id",
            (tenant.id,),
        ).fetchall()
    assert [(MODEL, 0, 1000, 0, 20_000), ("minilm", 0, 2, 0, 0)] == found


async def test_the_local_model_is_listed(ai: openai.AsyncOpenAI):
    """Among those that embed: clients show the plain list to people who choose a model to chat with."""
    assert LOCAL_MODEL not in [model.id async for model in ai.models.list()]
    assert LOCAL_MODEL in [model.id async for model in ai.models.list(extra_query={"capability": "embeddings"})]
    assert "headrace" == (await ai.models.retrieve(LOCAL_MODEL)).owned_by


async def test_another_embedder_of_the_installation_is_what_auto_means(settings: ApiSettings, tenant: TestTenant):
    async with serving(replace(settings, embedders=(MODEL,))) as client:
        client.headers.update(tenant.headers)
        answer = await post(client, model="auto", input="hi")
    assert 3 == len(answer.json()["data"][0]["embedding"])
