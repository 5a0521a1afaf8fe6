"""Cohere's own package is satisfied by the counterpart, which refuses what Cohere refuses."""

import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import cohere
    from cohere import errors

from tests.counterparts.behaviours import calls, fails, says, text
from tests.counterparts.cohere.server import CohereServer

HI = [{"role": "user", "content": "hi there"}]
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


@asynccontextmanager
async def official(server: CohereServer, key: str = "k") -> AsyncIterator[Any]:
    client = cohere.AsyncClientV2(api_key=key, base_url=server.url)
    try:
        yield client
    finally:
        await client._client_wrapper.httpx_client.httpx_client.aclose()


async def test_the_official_cohere_client_streams_and_gets_whole_answers() -> None:
    async with CohereServer() as server, official(server) as client:
        events = [e async for e in client.chat_stream(model="text-25", messages=HI)]
        server.script(says("It is 125."))
        whole = await client.chat(model="scripted", messages=HI)

    assert ["message-start", "content-start", "content-delta"] == [e.type for e in events[:3]]
    assert text(25) == "".join(e.delta.message.content.text for e in events if e.type == "content-delta")
    end = events[-1].delta
    assert ("COMPLETE", 2, 25, 9) == (
        end.finish_reason,
        end.usage.billed_units.input_tokens,
        end.usage.billed_units.output_tokens,
        end.usage.tokens.input_tokens,
    )
    assert "It is 125." == whole.message.content[0].text


async def test_the_official_cohere_client_thinks_plans_calls_and_returns_the_results() -> None:
    async with CohereServer() as server, official(server) as client:
        thought = [e async for e in client.chat_stream(model="reasoning", messages=HI, thinking={"type": "enabled"})]
        server.script(calls(("look", {"city": "Huế"}), ("look", {})), says("rain"))
        events = [e async for e in client.chat_stream(model="scripted", messages=HI, tools=[LOOK])]
        starts = [e.delta.message.tool_calls for e in events if e.type == "tool-call-start"]
        made = [
            {"id": c.id, "type": "function", "function": {"name": c.function.name, "arguments": "{}"}} for c in starts
        ]
        results = [{"role": "tool", "tool_call_id": call.id, "content": "rain"} for call in starts]
        turn = {"role": "assistant", "tool_plan": "I will look.", "tool_calls": made}
        last = await client.chat(model="scripted", messages=[*HI, turn, *results], tools=[LOOK])

    assert text(5) == "".join(e.delta.message.content.thinking or "" for e in thought if e.type == "content-delta")
    assert "I will look." == "".join(e.delta.message.tool_plan for e in events if e.type == "tool-plan-delta")
    pieces = [e for e in events if e.type == "tool-call-delta"]
    assert '{"city": "Huế"}' == "".join(e.delta.message.tool_calls.function.arguments for e in pieces if e.index == 0)
    assert ["look_0", "look_1"] == [call.id for call in starts]
    assert "TOOL_CALL" == events[-1].delta.finish_reason
    assert "rain" == last.message.content[0].text


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("no-such", errors.NotFoundError),
        ("refuse-400", errors.BadRequestError),
        ("refuse-498", errors.InvalidTokenError),
        ("limited", errors.TooManyRequestsError),
        ("broken", errors.InternalServerError),
    ],
)
async def test_the_official_cohere_client_knows_its_errors(model: str, expected: type[Exception]) -> None:
    async with CohereServer() as server, official(server) as client:
        server.script(fails(429), model="limited")
        server.script(fails(500), model="broken")
        with pytest.raises(expected):
            await client.chat(model=model, messages=HI, request_options={"max_retries": 0})


async def test_the_official_cohere_client_is_told_of_a_wrong_key_and_an_error_in_mid_stream() -> None:
    async with CohereServer(key="right") as server:
        async with official(server, key="wrong") as client:
            with pytest.raises(errors.UnauthorizedError):
                await client.chat(model="text-1", messages=HI)
        async with official(server, key="right") as client:
            events = [e async for e in client.chat_stream(model="error-after-3", messages=HI)]

    assert ("ERROR", "The server had an error.") == (events[-1].delta.finish_reason, events[-1].delta.error)


async def test_the_official_cohere_client_embeds_and_lists() -> None:
    async with CohereServer() as server, official(server) as client:
        embedded = await client.embed(
            model="embed-v4.0", texts=["a", "bcd"], input_type="search_document", embedding_types=["float"]
        )
        page = await client.models.list(page_size=1000)
        next_page = await client.models.list(page_size=1000, page_token=page.next_page_token)

    assert [1.0, 3.0] == [vector[0] for vector in embedded.embeddings.float_]
    assert 7 == len(page.models) + len(next_page.models)
