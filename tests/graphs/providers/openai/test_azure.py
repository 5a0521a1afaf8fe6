"""Azure's two forms: which one an address means, where a request goes, and what is Azure's own in the answers."""

from dataclasses import replace

import aiohttp
import openai
import pytest

from graphs.providers.contract import Finished
from graphs.providers.errors import ModelUnknown, ProviderRefused, ProviderRejectedKey
from graphs.providers.openai.azure import read_address
from graphs.providers.openai.provider import OpenAICompatible
from graphs.providers.openai.vendors import VENDORS
from graphs.providers.registry import Providers
from graphs.providers.settings import ProviderSettings
from tests.counterparts.behaviours import text
from tests.counterparts.openai.azure_server import AzureServer
from tests.graphs.model_requests import PATIENT, ask, collect, text_of

HOST = "https://x.openai.azure.com"
DATED = "2024-10-21"
HI = [{"role": "user", "content": "hi there"}]


@pytest.mark.parametrize(
    ("given", "version", "expected"),
    [
        (HOST, "", f"{HOST}/openai/v1"),
        (f"{HOST}/", DATED, f"{HOST}/openai?api-version={DATED}"),
        (f"{HOST}/openai/v1/", DATED, f"{HOST}/openai/v1"),
        (f"{HOST}/openai", "", f"{HOST}/openai/v1"),
        (f"{HOST}/openai", DATED, f"{HOST}/openai?api-version={DATED}"),
        (f"{HOST}/openai/deployments/gpt", "", f"{HOST}/openai?api-version={DATED}"),
        (
            f"{HOST}/openai/deployments/gpt/chat/completions?api-version=2025-01-01-preview",
            DATED,
            f"{HOST}/openai?api-version=2025-01-01-preview",
        ),
        (HOST, "preview", f"{HOST}/openai/v1?api-version=preview"),
        (HOST, "v1", f"{HOST}/openai/v1"),
        ("https://gateway.example/azure/openai", DATED, f"https://gateway.example/azure/openai?api-version={DATED}"),
        ("https://gateway.example/v1", "", "https://gateway.example/v1"),
    ],
)
def test_an_address_says_which_api_is_meant(given: str, version: str, expected: str) -> None:
    assert expected == read_address(given, version)
    assert expected == read_address(expected)


def test_a_version_that_is_none_is_named_with_what_it_must_be() -> None:
    env = {"AZURE_OPENAI_ENDPOINT": HOST, "AZURE_OPENAI_API_KEY": "k", "OPENAI_API_VERSION": "latest&x=1"}
    with pytest.raises(ValueError, match=r"OPENAI_API_VERSION.*2024-10-21"):
        ProviderSettings.from_env(env)


@pytest.mark.parametrize("version", ["", DATED, "2023-05-15", "preview"])
async def test_a_chat_goes_to_its_deployment_in_both_forms(version: str) -> None:
    async with AzureServer(key="k") as server, aiohttp.ClientSession() as session:
        vendor = VENDORS["azure"].at(read_address(server.url, version))
        azure = OpenAICompatible(session, vendor, key="k", timeouts=PATIENT)
        deltas = await collect(azure, ask("text-25", max_tokens=20))
        await azure.check_key()
        vectors = await azure.embed(["a", "bcd"], "text-1")
        with pytest.raises(ModelUnknown, match="no-such"):
            await collect(azure, ask("no-such"))
        with pytest.raises(ProviderRejectedKey):
            await OpenAICompatible(session, vendor, key="other", timeouts=PATIENT).check_key()

    assert text(20) == text_of(deltas)
    assert isinstance(deltas[-1], Finished)
    assert ("length", version == "2023-05-15") == (deltas[-1].reason, deltas[-1].usage.estimated)
    assert [1.0, 3.0] == [vector[0] for vector in vectors]


async def test_a_blocked_prompt_is_refused_in_azures_words() -> None:
    async with AzureServer() as server, aiohttp.ClientSession() as session:
        azure = OpenAICompatible(session, VENDORS["azure"].at(server.base_url), key="k", timeouts=PATIENT)
        with pytest.raises(ProviderRefused, match="content management policy"):
            await collect(azure, ask("filtered"))


async def test_a_deployments_name_leads_nowhere_else() -> None:
    async with AzureServer() as server, aiohttp.ClientSession() as session:
        azure = OpenAICompatible(session, VENDORS["azure"].at(read_address(server.url, DATED)), timeouts=PATIENT)
        with pytest.raises(ModelUnknown):
            await collect(azure, ask("../../files?x=#y"))

    assert "/openai/deployments/..%2F..%2Ffiles%3Fx=%23y/chat/completions" == server.requests[0].path.partition("?")[0]


async def test_deployments_that_were_named_are_the_models() -> None:
    env = {"AZURE_OPENAI_ENDPOINT": HOST, "AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_DEPLOYMENTS": "gpt, embed-x ,"}
    async with Providers(ProviderSettings.from_env(env)) as providers:
        assert ["azure/gpt", "azure/embed-x"] == [model.id for model in await providers.list_models()]
        assert "azure/gpt" == str(await providers.resolve("auto"))


async def test_headers_of_the_installation_are_sent_and_another_address_gets_none_of_the_vendors_own() -> None:
    env = {"OPENROUTER_API_KEY": "k", "OPENROUTER_HTTP_REFERER": "https://acme.example"}
    async with AzureServer() as server, Providers(ProviderSettings.from_env(env)) as providers:
        provider = providers.get("openrouter")
        assert isinstance(provider, OpenAICompatible)
        vendor = replace(VENDORS["openrouter"], base_url=server.base_url, headers=provider.headers)
        await collect(OpenAICompatible(providers.session, vendor, key="k", timeouts=PATIENT), ask("text-1"))

    sent = server.requests[0].headers
    assert ("headrace", "https://acme.example") == (sent["x-title"], sent["http-referer"])
    assert () == VENDORS["openrouter"].at("http://127.0.0.1:1/v1").headers


async def test_the_official_clients_work_with_the_counterpart() -> None:
    async with AzureServer(key="k") as server:
        dated = openai.AsyncAzureOpenAI(azure_endpoint=server.url, api_version=DATED, api_key="k", max_retries=0)
        undated = openai.AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0)
        async with dated, undated:
            for client in (dated, undated):
                chunks = [
                    c async for c in await client.chat.completions.create(model="text-5", messages=HI, stream=True)
                ]
                whole = await client.chat.completions.create(model="text-5", messages=HI)
                assert [] == chunks[0].choices
                assert text(5) == whole.choices[0].message.content
                assert text(5) == "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
                with pytest.raises(openai.BadRequestError) as caught:
                    await client.chat.completions.create(model="filtered", messages=HI)
                assert "content_filter" == caught.value.code
                with pytest.raises(openai.NotFoundError):
                    await client.chat.completions.create(model="no-such", messages=HI)
