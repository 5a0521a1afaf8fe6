"""Reasoning that clients keep: sealed for their tenant and model, given back to the model that thought it, to nobody else."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from openai import AsyncOpenAI

from tests.api.conftest import Running
from tests.conftest import make_tenant
from tests.counterparts.behaviours import Turn, says

WEATHER: Any = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}}
MODEL = "openai/thinks-and-calls"
THOUGHT, SIGNATURE = "It rains there.", {"google": {"thought_signature": "c2lnbmF0dXJl"}}


@pytest.fixture
async def sdk(running: Running) -> AsyncIterator[AsyncOpenAI]:
    def think(body: dict[str, Any]) -> Turn:
        if body["messages"][-1]["role"] == "tool":
            return says("DONE")
        return Turn(thought=THOUGHT, calls=(("get_weather", {"city": "Hanoi"}),), signed=True)

    running.models.answer_with(think, model="thinks-and-calls")
    running.models.answer_with(lambda body: says("DONE"), model="another")
    async with AsyncOpenAI(base_url=f"{running.url}/v1", api_key=running.tenant.key, max_retries=0) as opened:
        yield opened


async def think(sdk: AsyncOpenAI, said: str) -> list[dict[str, Any]]:
    """Return the items of a conversation that awaits the output of a call."""
    asked: dict[str, Any] = {"model": MODEL, "input": said, "tools": [WEATHER], "store": False}
    response = await sdk.responses.create(**asked, include=["reasoning.encrypted_content"])
    thought, call = response.output
    assert ("reasoning", "function_call") == (thought.type, call.type)
    assert thought.encrypted_content
    assert THOUGHT not in thought.encrypted_content
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    return [{"role": "user", "content": said}, *(item.model_dump() for item in response.output), output]


async def go_on(running: Running, sdk: AsyncOpenAI, said: str, items: Any, model: str = MODEL) -> dict[str, Any]:
    """Go on with a conversation, and return the assistant's message as the model saw it."""
    response = await sdk.responses.create(model=model, input=items, tools=[WEATHER], store=False)
    assert "DONE" == response.output_text
    body = next(r.body for r in reversed(running.models.requests) if said in json.dumps(r.body))
    return next(message for message in body["messages"] if message["role"] == "assistant")


async def test_the_model_gets_its_thought_back_with_its_call(running: Running, sdk: AsyncOpenAI) -> None:
    said = str(uuid4())
    message = await go_on(running, sdk, said, await think(sdk, said))
    (call,) = message["tool_calls"]
    assert (THOUGHT, SIGNATURE) == (message["reasoning_content"], call["extra_content"])


async def test_it_gets_it_back_over_previous_response_id_too(running: Running, sdk: AsyncOpenAI) -> None:
    said = str(uuid4())
    first = await sdk.responses.create(model=MODEL, input=said, tools=[WEATHER])
    output: Any = [{"type": "function_call_output", "call_id": first.output[-1].call_id, "output": "rain"}]
    await sdk.responses.create(model=MODEL, input=output, previous_response_id=first.id)
    body = next(r.body for r in reversed(running.models.requests) if said in json.dumps(r.body))
    message = next(message for message in body["messages"] if message["role"] == "assistant")
    assert (THOUGHT, SIGNATURE) == (message["reasoning_content"], message["tool_calls"][0]["extra_content"])


async def test_another_model_gets_nothing_of_it(running: Running, sdk: AsyncOpenAI) -> None:
    said = str(uuid4())
    message = await go_on(running, sdk, said, await think(sdk, said), "openai/another")
    assert ("reasoning_content" in message, "extra_content" in message["tool_calls"][0]) == (False, False)


async def test_a_blob_that_is_forged_or_anothers_is_left_out(
    running: Running, sdk: AsyncOpenAI, database_url: str
) -> None:
    said = str(uuid4())
    items = await think(sdk, said)
    stranger = make_tenant(database_url)
    async with AsyncOpenAI(base_url=f"{running.url}/v1", api_key=stranger.key, max_retries=0) as other:
        assert "reasoning_content" not in await go_on(running, other, said, items)
    for forged in ("rubbish", items[1]["encrypted_content"][:-8] + "AAAAAAA=", "é.é", ".", "🌊."):
        changed = [items[0], items[1] | {"encrypted_content": forged}, *items[2:]]
        assert "reasoning_content" not in await go_on(running, sdk, said, changed)


async def test_what_was_not_to_be_stored_goes_with_the_jobs_end(
    running: Running, sdk: AsyncOpenAI, database_url: str
) -> None:
    kept = []
    for store in (True, False):
        response = await sdk.responses.create(model="openai/text-1", input="Keep this?", store=store)
        with psycopg.connect(database_url) as db:
            row = db.execute("SELECT payload FROM jobs WHERE id = %s", (UUID(response.id[5:]),)).fetchone()
        assert row is not None
        kept.append("messages" in row[0])
    assert [True, False] == kept
