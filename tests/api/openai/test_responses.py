"""`/v1/responses` as the official OpenAI package uses it, with real processes."""

import json
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.api.conftest import Running
from tests.counterparts.behaviours import Turn, text

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


def client(running: Running, **options: Any) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{running.url}/v1", **{"api_key": running.tenant.key, "max_retries": 0, **options})


async def test_a_response_has_text_usage_and_an_id(running: Running) -> None:
    async with client(running) as sdk:
        response = await sdk.responses.create(model="openai/text-7", input="How do you do?", metadata={"a": "b"})
    assert (text(7), "completed", {"a": "b"}) == (response.output_text, response.status, response.metadata)
    assert response.usage is not None
    assert (4, 7, 11) == (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens)
    assert response.id.startswith("resp_")
    assert response.output[0].id == f"msg_{response.id[5:]}_0"


async def test_a_stream_is_accumulated_by_the_sdk(running: Running) -> None:
    async with client(running) as sdk, sdk.responses.stream(model="openai/reasoning", input="Why?") as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    assert list(range(len(events))) == [event.sequence_number for event in events]
    assert "response.created" == events[0].type
    assert text(5) == final.output_text
    assert ["reasoning", "message"] == [item.type for item in final.output]
