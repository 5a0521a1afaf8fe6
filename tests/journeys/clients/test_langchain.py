"""LangChain's ChatOpenAI against headrace, unchanged."""

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_openai import ChatOpenAI

from tests.conftest import TestTenant
from tests.counterparts.behaviours import text
from tests.system import System


def chat(system: System, tenant: TestTenant, model: str) -> ChatOpenAI:
    """LangChain's model, pointed at headrace."""
    return ChatOpenAI(base_url=f"{system.url}/v1", api_key=tenant.key, model=model, max_retries=0)


def test_langchain_invokes(system: System, tenant: TestTenant):
    said = chat(system, tenant, "openai/text-20").invoke("What is a headrace?")

    assert text(20) == said.content
    assert 20 == said.usage_metadata["output_tokens"]


def test_langchain_streams(system: System, tenant: TestTenant):
    chunks = list(chat(system, tenant, "openai/text-40-at-200").stream("What is a headrace?"))

    assert len(chunks) > 5
    assert text(40) == "".join(str(chunk.content) for chunk in chunks)


async def test_langchain_streams_asynchronously(system: System, tenant: TestTenant):
    chunks = [chunk async for chunk in chat(system, tenant, "openai/text-40").astream("What is a headrace?")]

    assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)
    assert text(40) == "".join(str(chunk.content) for chunk in chunks)


def test_langchain_binds_tools(system: System, tenant: TestTenant):
    def get_weather(city: str) -> str:
        """Say how the weather is."""
        return city

    said = chat(system, tenant, "openai/tool-call").bind_tools([get_weather]).invoke("How is the weather?")

    assert [("get_weather", {"city": "Hà Nội"})] == [(call["name"], call["args"]) for call in said.tool_calls]


def test_langchain_tells_of_errors(system: System, tenant: TestTenant):
    with pytest.raises(Exception, match="nobody-knows-me"):
        chat(system, tenant, "openai/nobody-knows-me").invoke("What is a headrace?")
