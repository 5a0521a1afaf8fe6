"""`/v1/batches` without workers: what is refused, who sees what, and how lists are paged."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest

from schema.queries.jobs.submissions import MAX_LIVE_BATCHES
from tests.conftest import TestTenant, make_tenant

BODY: dict[str, Any] = {"endpoint": "/v1/embeddings", "completion_window": "24h"}


@pytest.fixture
async def sdk(api: httpx.AsyncClient, tenant: TestTenant) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        api_key=tenant.key, base_url="http://test/v1", http_client=api, max_retries=0
    ) as opened:
        yield opened


async def uploaded(sdk: openai.AsyncOpenAI, purpose: Any = "batch") -> str:
    return (await sdk.files.create(file=("a.jsonl", b"{}\n"), purpose=purpose)).id


async def test_pages_have_every_batch_once_and_the_eleventh_waits(sdk: openai.AsyncOpenAI) -> None:
    file_id = await uploaded(sdk)
    made = [(await sdk.batches.create(input_file_id=file_id, **BODY)).id for _ in range(MAX_LIVE_BATCHES)]
    assert made[::-1] == [batch.id async for batch in sdk.batches.list(limit=3)]
    with pytest.raises(openai.RateLimitError) as refused:
        await sdk.batches.create(input_file_id=file_id, **BODY)
    assert ("rate_limit_exceeded", "60") == (refused.value.code, refused.value.response.headers["retry-after"])
    assert "10 batches under way" in refused.value.message
    cancelled = await sdk.batches.cancel(made[0])
    assert ("cancelling", True) == (cancelled.status, cancelled.cancelling_at is not None)
    created = await sdk.batches.create(input_file_id=file_id, **BODY, extra_headers={"Idempotency-Key": "once"})
    again = await sdk.batches.create(input_file_id=file_id, **BODY, extra_headers={"Idempotency-Key": "once"})
    assert (created.id, "validating") == (again.id, again.status)


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"input_file_id": "file-x"}, 404, "input_file_id"),
        ({"endpoint": "/v1/moderations"}, 400, "endpoint"),
        ({"completion_window": "7d"}, 400, "completion_window"),
        ({"metadata": {"k": 5}}, 400, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 5}}, 400, "output_expires_after.seconds"),
        ({"colour": "red"}, 400, "colour"),
    ],
)
async def test_a_batch_that_is_wrong_is_refused_by_its_field(
    api: httpx.AsyncClient, sdk: openai.AsyncOpenAI, change: dict[str, Any], status: int, param: str
) -> None:
    refused = await api.post("/v1/batches", json={"input_file_id": await uploaded(sdk), **BODY, **change})
    error = refused.json()["error"]
    assert (status, True) == (refused.status_code, str(error["param"]).startswith(param)), refused.text


async def test_files_and_batches_of_others_do_not_exist(
    api: httpx.AsyncClient, sdk: openai.AsyncOpenAI, database_url: str
) -> None:
    file_id = await uploaded(sdk)
    batch = await sdk.batches.create(input_file_id=file_id, **BODY)
    stranger = {"Authorization": f"Bearer {make_tenant(database_url).key}"}
    refused = await api.post("/v1/batches", json={"input_file_id": file_id, **BODY}, headers=stranger)
    assert (404, "input_file_id") == (refused.status_code, refused.json()["error"]["param"])
    assert 404 == (await api.get(f"/v1/batches/{batch.id}", headers=stranger)).status_code
    assert 404 == (await api.post(f"/v1/batches/{batch.id}/cancel", headers=stranger)).status_code
    assert [] == (await api.get("/v1/batches", headers=stranger)).json()["data"]
    with pytest.raises(openai.BadRequestError):
        await sdk.batches.create(input_file_id=await uploaded(sdk, "user_data"), **BODY)
    for wrong in ("batch_x", f"batch_{'0' * 31}", batch.id.removeprefix("batch_")):
        assert 404 == (await api.get(f"/v1/batches/{wrong}")).status_code
