"""headrace's providers against a real language model: `HEADRACE_TEST_MODEL_URL=http://127.0.0.1:8080/v1`, of a llama-server.

Skipped without one. What a small model says is not judged, only what any model does: streams, ends, is cut, overflows, calls.
"""

import os
from collections.abc import AsyncGenerator

import pytest

from graphs.providers.contract import Finished, Provider, ToolCallDelta
from graphs.providers.errors import ContextTooLong
from graphs.providers.openai.provider import OpenAICompatible
from graphs.providers.openai.vendors import VENDORS
from graphs.providers.prompted_tools.provider import NativeOrPromptedTools
from graphs.providers.registry import open_session
from graphs.providers.settings import ProviderAccess, ProviderSettings
from tests.graphs.model_requests import ask, collect, text_of

URL = os.environ.get("HEADRACE_TEST_MODEL_URL", "")
pytestmark = pytest.mark.skipif(not URL, reason="HEADRACE_TEST_MODEL_URL names no real model")
PROPERTIES = {
    "tax_code": {"type": "string", "maxLength": 2000, "pattern": "^\\d+$", "description": "The customer's tax code"}
}
DEBT = {
    "type": "function",
    "function": {
        "name": "get_customer_debt",
        "description": "Get the debt of a customer by tax code",
        "parameters": {"type": "object", "properties": PROPERTIES, "required": ["tax_code"]},
    },
}


@pytest.fixture
async def provider() -> AsyncGenerator[Provider, None]:
    limits = ProviderSettings.from_env({}).timeouts_for(ProviderAccess("llamacpp", URL))
    async with open_session() as session:
        yield OpenAICompatible(session, VENDORS["llamacpp"].at(URL), timeouts=limits)


async def test_an_answer_streams_and_is_counted(provider: Provider):
    deltas = await collect(provider, ask("m", "Say one word.", max_tokens=8, temperature=0.0))

    assert text_of(deltas)
    assert isinstance(deltas[-1], Finished)
    assert not deltas[-1].usage.estimated


async def test_a_conversation_that_is_too_long_is_told_so(provider: Provider):
    with pytest.raises(ContextTooLong) as caught:
        await collect(provider, ask("m", "water flows " * 10_000, max_tokens=8))

    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize("native", [True, False])
async def test_a_tool_is_called_natively_or_in_writing(provider: Provider, native: bool):
    asked = "What is the debt of the customer with the tax code 0104985841? Use the tool."
    request = ask("m", asked, tools=(DEBT,), max_tokens=120, temperature=0.0)

    deltas = await collect(NativeOrPromptedTools(provider, native=native), request)

    calls = [delta for delta in deltas if isinstance(delta, ToolCallDelta)]
    assert [call.name for call in calls if call.name] == ["get_customer_debt"]
    assert "0104985841" in "".join(call.arguments for call in calls)


async def test_json_that_was_asked_for_comes_without_a_fence(provider: Provider):
    wanted = {"response_format": {"type": "json_object"}, "max_tokens": 60, "temperature": 0.0}

    said = text_of(await collect(provider, ask("m", 'Answer with the JSON object {"colour": "red"}.', **wanted)))

    assert said.lstrip().startswith("{")
