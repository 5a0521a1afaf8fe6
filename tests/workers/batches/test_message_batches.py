"""`/v1/messages/batches` with the anthropic package, results of each kind, a cancel, pages, a deletion."""

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx
import pytest
from anthropic.types.messages import MessageBatch

from tests.conftest import TestTenant, make_tenant
from tests.counterparts.behaviours import text
from tests.waiting import PATIENCE_S, wait_for
from tests.workers.batches.conftest import Batching
from tests.workers.jobs import change


@pytest.fixture
async def sdk(batching: Batching, tenant: TestTenant) -> AsyncIterator[anthropic.AsyncAnthropic]:
    options: dict[str, Any] = {"api_key": tenant.key, "max_retries": 0, "timeout": PATIENCE_S}
    async with anthropic.AsyncAnthropic(base_url=batching.system.url, **options) as opened:
        yield opened


def ask(custom_id: str, model: str = "openai/text-3", **more: Any) -> Any:
    turn = {"role": "user", "content": custom_id}
    return {"custom_id": custom_id, "params": {"model": model, "max_tokens": 9, "messages": [turn], **more}}


async def ended(sdk: anthropic.AsyncAnthropic, batch_id: str) -> MessageBatch:
    async def look() -> MessageBatch | None:
        batch = await sdk.messages.batches.retrieve(batch_id)
        return batch if batch.processing_status == "ended" else None

    return await wait_for(look, f"{batch_id} has ended")


async def results(sdk: anthropic.AsyncAnthropic, batch_id: str) -> dict[str, Any]:
    return {one.custom_id: one.result async for one in await sdk.messages.batches.results(batch_id)}


async def test_each_request_has_its_message_or_its_error(sdk: anthropic.AsyncAnthropic) -> None:
    requests = [
        ask("good"),
        ask("unknown", "nobody/none"),
        ask("bad", messages=[]),
        ask("refused", "openai/refuse-400"),
    ]
    made = await sdk.messages.batches.create(requests=requests)
    assert ("in_progress", 4, None, None) == (
        *(made.processing_status, made.request_counts.processing),
        *(made.results_url, made.ended_at),
    )
    batch = await ended(sdk, made.id)
    counts = batch.request_counts
    assert (0, 1, 3, 0, 0) == (counts.processing, counts.succeeded, counts.errored, counts.canceled, counts.expired)
    told = await results(sdk, batch.id)
    message = told.pop("good").message
    assert (text(3), "end_turn", 3) == (message.content[0].text, message.stop_reason, message.usage.output_tokens)
    assert {"unknown", "bad", "refused"} == told.keys()
    assert {("errored", "error", "invalid_request_error"), ("errored", "error", "not_found_error")} == {
        (result.type, result.error.type, result.error.error.type) for result in told.values()
    }
    assert all(result.error.request_id for result in told.values())

    assert batch == await sdk.messages.batches.cancel(batch.id)  # too late changes nothing
    assert batch.id == (await sdk.messages.batches.delete(batch.id)).id
    with pytest.raises(anthropic.NotFoundError):
        await sdk.messages.batches.retrieve(batch.id)


async def test_a_cancelled_batch_tells_what_was_not_executed(
    batching: Batching, database_url: str, tenant: TestTenant, sdk: anthropic.AsyncAnthropic
) -> None:
    change(database_url, "UPDATE tenants SET max_running = 2 WHERE id = %s", tenant.id)
    made = await sdk.messages.batches.create(requests=[ask(f"r{n}", "openai/slow-first-60") for n in range(4)])
    with pytest.raises(anthropic.AnthropicError, match="results_url"):
        await sdk.messages.batches.results(made.id)
    for refused in (
        sdk.get(f"/v1/messages/batches/{made.id}/results", cast_to=object),
        sdk.messages.batches.delete(made.id),
    ):
        with pytest.raises(anthropic.BadRequestError) as caught:
            await refused
        assert "has not ended" in caught.value.message
    stopping = await sdk.messages.batches.cancel(made.id)
    assert "canceling" == stopping.processing_status or stopping.ended_at
    batch = await ended(sdk, made.id)
    assert batch.cancel_initiated_at is not None
    told = await results(sdk, batch.id)
    kinds = [result.type for result in told.values()]
    assert (4, kinds.count("canceled")) == (len(kinds), batch.request_counts.canceled)
    assert batch.request_counts.canceled >= 3
    assert 4 == batch.request_counts.canceled + batch.request_counts.errored


async def test_pages_go_both_ways_and_others_see_nothing(
    batching: Batching, database_url: str, sdk: anthropic.AsyncAnthropic
) -> None:
    made = [(await sdk.messages.batches.create(requests=[ask("one")])).id for _ in range(3)][::-1]
    assert made == [batch.id async for batch in await sdk.messages.batches.list(limit=2)]
    page = await sdk.messages.batches.list(before_id=made[2], limit=1)
    assert ([made[1]], True) == ([batch.id for batch in page.data], page.has_more)
    page = await sdk.messages.batches.list(after_id=made[1])
    assert ([made[2]], False) == ([batch.id for batch in page.data], page.has_more)

    stranger = make_tenant(database_url)
    async with httpx.AsyncClient(base_url=batching.system.url, headers=stranger.headers, timeout=PATIENCE_S) as http:
        path = f"/v1/messages/batches/{made[0]}"
        for method, where in (("GET", path), ("GET", f"{path}/results"), ("POST", f"{path}/cancel"), ("DELETE", path)):
            refused = await http.request(method, where)
            assert (404, "not_found_error") == (refused.status_code, refused.json()["error"]["type"])
        assert [] == (await http.get("/v1/messages/batches")).json()["data"]
        assert 404 == (await http.get(f"/v1/messages/batches/{made[0].removeprefix('msgbatch_')}")).status_code


@pytest.mark.parametrize(
    "requests",
    [
        [],
        [ask("a"), ask("a")],
        [ask("a b")],
        [ask("a", stream=True)],
        [{"custom_id": "a"}],
        [{"custom_id": "a", "params": {}, "colour": "red"}, *([ask("b")] * 2)],
    ],
)
async def test_a_batch_that_is_wrong_is_refused_whole(sdk: anthropic.AsyncAnthropic, requests: Any) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        await sdk.messages.batches.create(requests=requests)
    error: Any = caught.value.body
    assert ("error", "invalid_request_error") == (error["type"], error["error"]["type"])
    assert "requests" in json.dumps(error)
