"""What can be done with a response later: get, stream again, cancel, delete; and who can."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from tests.api.conftest import Running
from tests.conftest import TestTenant, make_tenant
from tests.counterparts.behaviours import text
from tests.waiting import PATIENCE_S, wait_for


@pytest.fixture
async def sdk(running: Running) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{running.url}/v1", api_key=running.tenant.key, max_retries=0) as opened:
        yield opened


async def ended(sdk: AsyncOpenAI, response_id: str) -> Any:
    async def find() -> Any:
        response = await sdk.responses.retrieve(response_id)
        return None if response.status in ("queued", "in_progress") else response

    return await wait_for(find, "the response has ended")


async def test_a_background_response_is_queued_and_can_be_polled(sdk: AsyncOpenAI) -> None:
    queued = await sdk.responses.create(model="openai/text-6", input="hi", background=True)
    assert ("queued", [], True) == (queued.status, queued.output, queued.background)
    response = await ended(sdk, queued.id)
    assert ("completed", text(6)) == (response.status, response.output_text)
    assert (queued.created_at, queued.id) == (response.created_at, response.id)
    assert response.completed_at >= response.created_at


async def test_a_background_stream_can_be_left_and_resumed(sdk: AsyncOpenAI) -> None:
    stream = await sdk.responses.create(model="openai/text-40-at-100", input="hi", background=True, stream=True)
    seen = []
    async for event in stream:
        seen.append(event)
        if len(seen) == 8:
            break
    await stream.close()
    assert ["response.created", "response.queued", "response.in_progress"] == [event.type for event in seen[:3]]
    rest = await sdk.responses.retrieve(seen[0].response.id, stream=True, starting_after=seen[-1].sequence_number)
    seen += [event async for event in rest]
    assert list(range(len(seen))) == [event.sequence_number for event in seen]
    assert text(40) == "".join(event.delta for event in seen if event.type == "response.output_text.delta")
    async with sdk.responses.stream(response_id=seen[0].response.id) as again:
        final = await again.get_final_response()
    assert text(40) == final.output_text


async def test_a_running_response_is_seen_as_far_as_it_is(sdk: AsyncOpenAI) -> None:
    stream = await sdk.responses.create(model="openai/text-600-at-30", input="hi", background=True, stream=True)
    async for event in stream:
        if event.type == "response.output_text.delta":
            break
    await stream.close()
    partial = await sdk.responses.retrieve(f"resp_{event.item_id.split('_')[1]}")
    assert ("in_progress", True) == (partial.status, partial.output_text.startswith("water"))
    cancelled = await sdk.responses.cancel(partial.id)
    assert ("cancelled", True) == (cancelled.status, cancelled.output_text.startswith("water"))
    assert "cancelled" == (await sdk.responses.cancel(partial.id)).status


async def test_a_client_that_leaves_cancels_unless_in_the_background(running: Running, sdk: AsyncOpenAI) -> None:
    ids = []
    for background in (False, True):
        stream = await sdk.responses.create(
            model="openai/text-90-at-30", input="hi", background=background, stream=True
        )
        async for event in stream:
            ids.append(event.response.id)
            break
        await stream.close()
    left, kept = [(await ended(sdk, one)).status for one in ids]
    assert ("cancelled", "completed") == (left, kept)


async def test_a_response_that_was_not_to_be_stored_is_not_found(running: Running, sdk: AsyncOpenAI) -> None:
    response = await sdk.responses.create(model="openai/text-2", input="hi", store=False)
    assert text(2) == response.output_text
    await assert_nothing_there(sdk, response.id, response.output[0].id)


async def test_a_deleted_response_is_gone_whether_it_had_ended_or_not(sdk: AsyncOpenAI) -> None:
    done = await sdk.responses.create(model="openai/text-2", input="hi")
    runs = await sdk.responses.create(model="openai/text-600-at-30", input="hi", background=True)
    for response in (done, runs):
        await sdk.responses.delete(response.id)
        await assert_nothing_there(sdk, response.id, f"msg_{response.id[5:]}_0")


async def test_another_tenants_response_is_not_there(running: Running, sdk: AsyncOpenAI, database_url: str) -> None:
    response = await sdk.responses.create(model="openai/text-2", input="hi")
    stranger = make_tenant(database_url)
    async with AsyncOpenAI(base_url=f"{running.url}/v1", api_key=stranger.key, max_retries=0) as other:
        await assert_nothing_there(other, response.id, response.output[0].id)
    assert text(2) == (await sdk.responses.retrieve(response.id)).output_text


async def assert_nothing_there(sdk: AsyncOpenAI, response_id: str, item_id: str) -> None:
    """Assert that neither path nor body tell this response from one that nobody has."""
    reference: Any = [{"type": "item_reference", "id": item_id}]
    attempts = (
        sdk.responses.retrieve(response_id),
        sdk.responses.retrieve(response_id, stream=True),
        sdk.responses.cancel(response_id),
        sdk.responses.delete(response_id),
        sdk.responses.input_items.list(response_id),
        sdk.responses.create(model="openai/text-1", input="hi", previous_response_id=response_id),
        sdk.responses.create(model="openai/text-1", input=reference),
    )
    for attempt in attempts:
        with pytest.raises(openai.NotFoundError):
            await attempt


async def test_the_items_of_an_input_come_in_pages(sdk: AsyncOpenAI) -> None:
    history: Any = [{"role": "user", "content": f"q{n}"} for n in range(5)]
    response = await sdk.responses.create(model="openai/text-2", input=history)
    first = await sdk.responses.input_items.list(response.id, order="asc", limit=2)
    assert (["q0", "q1"], True) == ([item.content[0].text for item in first.data], first.has_more)
    texts = [item.content[0].text async for item in sdk.responses.input_items.list(response.id, limit=2)]
    assert ["q4", "q3", "q2", "q1", "q0"] == texts


async def test_one_key_makes_one_response(running: Running, sdk: AsyncOpenAI) -> None:
    async def ask(content: str, **more: Any) -> httpx.Response:
        body = {"model": "openai/text-5", "input": content, **more}
        return await running.http.post(
            "/v1/responses", json=body, headers={"Idempotency-Key": "once"}, timeout=PATIENCE_S
        )

    first, again, other = await ask("hi"), await ask("hi"), await ask("ho")
    assert first.json() == again.json()
    assert (422, "idempotency_key_reused") == (other.status_code, other.json()["error"]["code"])


async def test_a_key_without_the_right_is_refused(running: Running, sdk: AsyncOpenAI, database_url: str) -> None:
    response = await sdk.responses.create(model="openai/text-2", input="hi")
    viewer: TestTenant = make_tenant(database_url, role="viewer")
    async with AsyncOpenAI(base_url=f"{running.url}/v1", api_key=viewer.key, max_retries=0) as reader:
        for attempt in (
            reader.responses.create(model="openai/text-1", input="hi"),
            reader.responses.cancel(response.id),
        ):
            with pytest.raises(openai.PermissionDeniedError):
                await attempt
