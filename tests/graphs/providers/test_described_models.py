"""What servers of OpenAI's protocol say of their models where their owner started them."""

from dataclasses import replace

import pytest

from graphs.providers.capabilities import capabilities
from graphs.providers.openai.provider import OpenAICompatible
from graphs.providers.openai.vendors import VENDORS
from graphs.providers.registry import open_session
from tests.counterparts.openai.server import OpenAIServer


@pytest.mark.parametrize(
    ("vendor", "listed", "expected"),
    [
        ("llamacpp", [{"id": "qwen", "meta": {"n_ctx": 4096, "n_ctx_train": 32768}}], 4096),
        ("llamacpp", [{"id": "another-name", "meta": {"n_ctx": 4096}}], 4096),
        ("vllm", [{"id": "a"}, {"id": "qwen", "max_model_len": 8192}], 8192),
        ("vllm", [{"id": "qwen", "max_model_len": "8192"}], None),
        ("vllm", [{"id": "qwen", "max_model_len": -1}], None),
        ("llamacpp", [{"id": "qwen", "meta": {"n_ctx": 2.5}}], None),
        ("llamacpp", [{"id": "qwen", "meta": []}], None),
        ("lmstudio", [{"id": "qwen"}], None),
    ],
)
async def test_a_server_of_ones_own_says_how_much_it_reads(vendor: str, listed: list, expected: int | None):
    async with OpenAIServer() as server, open_session() as session:
        server.listed = listed
        provider = OpenAICompatible(session, VENDORS[vendor].at(server.base_url))

        found = await capabilities(provider, "qwen")
        await capabilities(provider, "qwen")

    assert (True, expected) == (found.tools, found.context_tokens)
    assert 1 == len(server.requests)


@pytest.mark.parametrize("listed", [[{"id": "a"}, {"id": "b"}], ["no list of models"]])
async def test_a_server_that_says_nothing_of_a_model_is_not_asked_before_each_chat(listed: list):
    async with OpenAIServer() as server, open_session() as session:
        server.listed = listed
        provider = OpenAICompatible(session, VENDORS["vllm"].at(server.base_url))

        found = [await capabilities(provider, "an-alias") for _ in range(3)]

    assert [None] * 3 == [one.context_tokens for one in found]
    assert 1 == len(server.requests)


async def test_a_vendor_on_the_web_is_not_asked_what_it_reads():
    async with OpenAIServer() as server, open_session() as session:
        vendor = replace(VENDORS["openai"], base_url=server.base_url)
        found = await capabilities(OpenAICompatible(session, vendor), "gpt-5")

    assert found.context_tokens is None
    assert not server.requests
