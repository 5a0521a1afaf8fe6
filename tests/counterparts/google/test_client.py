"""Google's own package is satisfied by the counterpart, which refuses what Google refuses.

`google-genai` wants an older `tenacity` than headrace has, so it is not among the development packages: these tests run where
it is installed all the same, as in an environment of its own (`pip install google-genai` into a copy).
"""

import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    genai = pytest.importorskip("google.genai", reason="google-genai is not installed")
    from google.genai import errors, types

from tests.counterparts.behaviours import Turn, says, text
from tests.counterparts.google.server import GoogleServer

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")  # the package's own

LOOK = types.FunctionDeclaration(
    name="look",
    description="Looks.",
    parameters_json_schema={"type": "object", "properties": {"city": {"type": "string"}}},
)
TOOLS = types.GenerateContentConfig(
    tools=[types.Tool(function_declarations=[LOOK])],
    automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
)


@asynccontextmanager
async def official(server: GoogleServer, key: str = "k", version: str | None = "v1beta") -> AsyncIterator[Any]:
    options = types.HttpOptions(base_url=server.url, api_version=version)
    client = genai.Client(api_key=key, http_options=options).aio
    try:
        yield client.models
    finally:
        await client.aclose()


@pytest.mark.parametrize("version", ["v1beta", None])
async def test_the_official_google_client_streams_and_gets_whole_answers(version: str | None) -> None:
    async with GoogleServer() as server, official(server, version=version) as models:
        chunks = [c async for c in await models.generate_content_stream(model="text-25", contents="hi there")]
        server.script(says("It is 125."))
        whole = await models.generate_content(model="scripted", contents="hi there")

    assert text(25) == "".join(c.text or "" for c in chunks)
    used = chunks[-1].usage_metadata
    assert (2, 25, 27) == (used.prompt_token_count, used.candidates_token_count, used.total_token_count)
    assert types.FinishReason.STOP == chunks[-1].candidates[0].finish_reason
    assert "It is 125." == whole.text


async def test_the_official_google_client_sees_thoughts_and_the_end_by_length() -> None:
    config = types.GenerateContentConfig(
        max_output_tokens=3,
        system_instruction="be brief",
        thinking_config=types.ThinkingConfig(include_thoughts=True),
        response_mime_type="application/json",
        response_json_schema={"type": "object"},
    )
    async with GoogleServer() as server, official(server) as models:
        chunks = [
            c async for c in await models.generate_content_stream(model="reasoning", contents="hi", config=config)
        ]

    parts = [part for c in chunks for part in c.candidates[0].content.parts]
    assert text(5) == "".join(part.text for part in parts if part.thought)
    assert text(3) == "".join(part.text for part in parts if not part.thought)
    assert types.FinishReason.MAX_TOKENS == chunks[-1].candidates[0].finish_reason


async def test_the_official_google_client_calls_and_must_return_the_signature() -> None:
    async with GoogleServer() as server, official(server) as models:
        step = Turn(calls=(("look", {"city": "Huế"}), ("look", {"city": "Hà Nội"})), signed=True)
        server.script(step, says("rain"), model="gemini-3-x")
        asked = types.Content(role="user", parts=[types.Part(text="weather?")])
        called = await models.generate_content(model="gemini-3-x", contents=[asked], config=TOOLS)
        turn = called.candidates[0].content
        results = [types.Part.from_function_response(name="look", response={"output": "rain"}) for _ in range(2)]
        answered = types.Content(role="user", parts=results)
        unsigned = types.Content(role="model", parts=[types.Part(function_call=p.function_call) for p in turn.parts])
        with pytest.raises(errors.ClientError, match="missing a thought_signature") as caught:
            await models.generate_content(model="gemini-3-x", contents=[asked, unsigned, answered], config=TOOLS)
        with pytest.raises(errors.ClientError, match="number of function response parts"):
            await models.generate_content(model="gemini-3-x", contents=[asked, turn], config=TOOLS)
        last = await models.generate_content(model="gemini-3-x", contents=[asked, turn, answered], config=TOOLS)

    assert [("look", {"city": "Huế"}), ("look", {"city": "Hà Nội"})] == [
        (f.name, f.args) for f in called.function_calls
    ]
    assert [True, False] == [bool(part.thought_signature) for part in turn.parts]
    assert 400 == caught.value.code
    assert "rain" == last.text


@pytest.mark.parametrize(
    ("model", "expected", "status"),
    [
        ("no-such", errors.ClientError, 404),
        ("refuse-400", errors.ClientError, 400),
        ("rate-limit-1", errors.ClientError, 429),
        ("overloaded-1", errors.ServerError, 503),
    ],
)
async def test_the_official_google_client_knows_its_errors(model: str, expected: type[Exception], status: int) -> None:
    async with GoogleServer() as server, official(server) as models:
        with pytest.raises(expected) as caught:
            await models.generate_content(model=model, contents="hi")

    assert status == caught.value.code
    retry = [one for one in caught.value.details["error"].get("details", ()) if "retryDelay" in one]
    assert (["0.2s"] if status == 429 else []) == [one["retryDelay"] for one in retry]


async def test_the_official_google_client_is_told_of_a_wrong_key_an_error_in_mid_stream_and_a_blocked_prompt() -> None:
    async with GoogleServer(key="right") as server:
        async with official(server, key="wrong") as models:
            with pytest.raises(errors.ClientError, match="API key not valid"):
                await models.generate_content(model="text-1", contents="hi")
        async with official(server, key="right") as models:
            with pytest.raises(errors.ServerError):
                [c async for c in await models.generate_content_stream(model="error-after-3", contents="hi")]
            server.finish["text-3"] = {"blocked": "SAFETY"}
            chunks = [c async for c in await models.generate_content_stream(model="text-3", contents="hi")]

    assert [None] == [c.candidates for c in chunks]
    assert types.BlockedReason.SAFETY == chunks[0].prompt_feedback.block_reason


async def test_the_official_google_client_counts_lists_all_pages_and_embeds() -> None:
    async with GoogleServer() as server, official(server) as models:
        counted = await models.count_tokens(model="text-1", contents="three words here")
        listed = [model.name async for model in await models.list(config={"page_size": 1000})]
        vectors = (await models.embed_content(model="gemini-embedding-001", contents=["a", "bcd"])).embeddings

    assert 3 == counted.total_tokens
    assert 6 == len(listed)
    assert [1.0, 3.0] == [v.values[0] for v in vectors]
