"""The official `openai` package against headrace, unchanged: answers, streams, tools and errors."""

import asyncio
from collections.abc import Iterator

import openai
import pytest

from tests.conftest import TestTenant, make_tenant
from tests.counterparts.behaviours import text
from tests.system import System

ASK = [{"role": "user", "content": "What is a headrace?"}]
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


@pytest.fixture
def ai(system: System, tenant: TestTenant) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{system.url}/v1", api_key=tenant.key, max_retries=0) as client:
        yield client


def test_a_completion_is_answered(ai: openai.OpenAI):
    answer = ai.chat.completions.create(model="openai/text-10", messages=ASK)

    assert (text(10), "stop") == (answer.choices[0].message.content, answer.choices[0].finish_reason)
    assert answer.usage is not None
    assert (4, 10, 14) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
        answer.usage.total_tokens,
    )


def test_a_stream_says_the_same_and_its_usage(ai: openai.OpenAI):
    with ai.chat.completions.create(
        model="openai/text-30-at-200", messages=ASK, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)

    assert text(30) == "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert ["stop"] == [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert chunks[-1].usage is not None
    assert 30 == chunks[-1].usage.completion_tokens


async def test_the_async_client_asks_many_at_once(system: System, tenant: TestTenant):
    async with openai.AsyncOpenAI(base_url=f"{system.url}/v1", api_key=tenant.key, max_retries=0) as ai:

        async def ask(tokens: int) -> str:
            stream = await ai.chat.completions.create(model=f"openai/text-{tokens}", messages=ASK, stream=True)
            return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])

        async def wait(tokens: int) -> str:
            answer = await ai.chat.completions.create(model=f"openai/text-{tokens}", messages=ASK)
            return answer.choices[0].message.content or ""

        said = await asyncio.gather(*(ask(n) for n in range(1, 11)), *(wait(n) for n in range(1, 11)))

    assert [text(n) for n in range(1, 11)] * 2 == said


def test_tool_calls_come_back_as_the_model_made_them(ai: openai.OpenAI):
    answer = ai.chat.completions.create(model="openai/tool-call", messages=ASK, tools=[WEATHER])
    with ai.chat.completions.stream(model="openai/tool-call", messages=ASK, tools=[WEATHER]) as stream:
        streamed = stream.get_final_completion()

    for completion in (answer, streamed):
        (call,) = completion.choices[0].message.tool_calls or []
        assert ("get_weather", '{"city": "Hà Nội"}') == (call.function.name, call.function.arguments)
        assert "tool_calls" == completion.choices[0].finish_reason


def test_the_models_are_listed(ai: openai.OpenAI):
    assert "openai/text-100" in [model.id for model in ai.models.list()]
    assert "openai/text-100" == ai.models.retrieve("openai/text-100").id


def test_a_wrong_key_is_an_authentication_error(system: System):
    with (
        openai.OpenAI(base_url=f"{system.url}/v1", api_key="hr_wrong", max_retries=0) as ai,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        ai.chat.completions.create(model="openai/text-10", messages=ASK)
    assert "invalid_api_key" == caught.value.code


def test_an_unknown_model_is_not_found(ai: openai.OpenAI):
    for stream in (False, True):
        with pytest.raises(openai.NotFoundError) as caught:
            ai.chat.completions.create(model="openai/nobody-knows-me", messages=ASK, stream=stream)
        assert "model_not_found" == caught.value.code
    with pytest.raises(openai.NotFoundError):
        ai.chat.completions.create(model="nobody/knows-me", messages=ASK)
    with pytest.raises(openai.NotFoundError):
        ai.models.retrieve("nobody/knows-me")


def test_a_wrong_request_is_a_bad_request_that_names_the_field(ai: openai.OpenAI):
    with pytest.raises(openai.BadRequestError) as caught:
        ai.chat.completions.create(model="openai/text-10", messages=[])
    assert "messages" == caught.value.param
    with pytest.raises(openai.BadRequestError) as caught:
        ai.chat.completions.create(model="openai/text-10", messages=ASK, temperature="hot")
    assert "temperature" == caught.value.param
    with pytest.raises(openai.BadRequestError) as caught:
        ai.chat.completions.create(model="openai/text-10", messages=ASK, n=0)
    assert "n" == caught.value.param


def test_a_full_queue_is_a_rate_limit_error(system: System, shared_url: str):
    tenant = make_tenant(shared_url, max_running=1, max_queued=0)
    with openai.OpenAI(base_url=f"{system.url}/v1", api_key=tenant.key, max_retries=0) as ai:
        with ai.chat.completions.create(model="openai/text-600-at-60", messages=ASK, stream=True) as running:
            next(iter(running))
            with pytest.raises(openai.RateLimitError) as caught:
                ai.chat.completions.create(model="openai/text-10", messages=ASK)
        assert int(caught.value.response.headers["retry-after"]) > 0


def test_a_model_that_refuses_is_an_api_status_error_with_its_reason(ai: openai.OpenAI):
    for stream in (False, True):
        with pytest.raises(openai.APIStatusError) as caught:
            ai.chat.completions.create(model="openai/refuse-400", messages=ASK, stream=stream)
        assert "This request is refused." in caught.value.message
