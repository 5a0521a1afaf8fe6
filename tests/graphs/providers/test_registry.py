"""Which provider a model's name means in which environment, and how the providers of a process are kept."""

import pytest

from graphs.providers.errors import ModelUnknown, ProviderIsHeadrace, ProviderUnknown, ProviderUnreachable
from graphs.providers.ollama.provider import FIRST_MODEL
from graphs.providers.openai.vendors import VENDORS
from graphs.providers.registry import Providers, open_session
from graphs.providers.settings import OFFLINE, ProviderAccess, ProviderSettings, is_local, resolve
from tests.counterparts.ollama_server import OllamaServer
from tests.counterparts.openai.server import OpenAIServer
from tests.graphs.model_requests import ask, collect

UNREACHABLE_URL = "http://127.0.0.1:9"  # the discard port: nothing listens


def resolved_model(model: str | None, **env: str) -> str:
    return str(resolve(model, ProviderSettings.from_env(env)))


@pytest.mark.parametrize("model", [None, "", "auto", "offline/extractive", "extractive"])
def test_offline_answers_when_nothing_is_configured(model):
    assert resolved_model(model) == "offline/extractive"


def test_an_empty_variable_counts_as_unset():
    assert resolved_model("auto", OLLAMA_HOST="", OPENAI_API_KEY=" ", HEADRACE_DEFAULT_MODEL="") == "offline/extractive"


def test_offline_is_not_chosen_once_a_provider_is_configured():
    assert resolved_model("auto", OLLAMA_HOST="localhost") == "ollama/"
    assert resolved_model("auto", OPENAI_API_KEY="k") == "openai/"
    assert resolved_model("auto", OPENAI_BASE_URL="http://localhost:8000/v1") == "openai/"
    assert resolved_model("auto", OPENAI_API_KEY="k", OLLAMA_HOST="localhost") == "ollama/"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("auto", "openai/gpt-x"),
        ("gpt-y", "openai/gpt-y"),
        ("ollama/llama3.2:3b", "ollama/llama3.2:3b"),
        ("ollama/hf.co/user/model:Q4", "ollama/hf.co/user/model:Q4"),
        ("offline/extractive", "offline/extractive"),
    ],
)
def test_names_are_read_with_the_default_model_in_mind(model, expected):
    assert expected == resolved_model(model, OLLAMA_HOST="h", OPENAI_API_KEY="k", HEADRACE_DEFAULT_MODEL="openai/gpt-x")


def test_a_vendors_name_may_have_slashes():
    assert resolved_model("openrouter/meta-llama/llama-3", OPENROUTER_API_KEY="k") == "openrouter/meta-llama/llama-3"


def test_a_bare_default_model_belongs_to_the_first_provider():
    assert resolved_model(None, OLLAMA_HOST="h", HEADRACE_DEFAULT_MODEL="llama3.2:3b") == "ollama/llama3.2:3b"


def test_an_unknown_provider_is_told_what_there_is():
    with pytest.raises(ProviderUnknown, match=r"no provider 'foo'.*Connected: openai.*Supported: ollama, openai"):
        resolved_model("foo/bar", OPENAI_API_KEY="k")


def test_a_provider_that_is_not_connected_is_named_with_what_a_caller_can_do():
    with pytest.raises(
        ProviderUnknown, match=r"'ollama' is not connected here\. Connected: openai\..*POST /api/api-keys"
    ):
        resolved_model("ollama/llama3.2", OPENAI_API_KEY="k")
    with pytest.raises(ProviderUnknown, match="AZURE_OPENAI_ENDPOINT"):
        resolved_model("azure/gpt", AZURE_OPENAI_API_KEY="k")
    with pytest.raises(ProviderUnknown, match="OPENAI_API_KEY"):
        resolved_model("gpt", OPENAI_BASE_URL="https://api.openai.com/v1/")


def test_a_bare_name_without_a_provider_is_an_unknown_model():
    with pytest.raises(ModelUnknown, match="no model provider is connected, so offline/extractive is the only model"):
        resolved_model("gpt-4o")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "0.0.0.0"])
def test_a_base_url_that_is_headrace_itself_is_refused(host):
    with pytest.raises(ProviderIsHeadrace, match="OPENAI_BASE_URL"):
        resolved_model(
            "auto", OPENAI_BASE_URL=f"http://{host}:8080/v1", OPENAI_API_KEY="k", HEADRACE_URL="http://127.0.0.1:8080"
        )


def test_another_port_of_this_machine_is_not_headrace():
    env = {"OPENAI_BASE_URL": "http://127.0.0.1:8000/v1", "HEADRACE_URL": "http://127.0.0.1:8080"}

    assert resolved_model("m", **env) == "openai/m"


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"OLLAMA_HOST": "host:port"}, "OLLAMA_HOST"),
        ({"OPENAI_BASE_URL": "localhost:8000"}, "OPENAI_BASE_URL"),
        ({"OPENAI_BASE_URL": "http://me:pw@host/v1"}, "without a password"),
        ({"GROQ_API_KEY": "one\ntwo"}, "GROQ_API_KEY"),
        ({"HEADRACE_MODEL_FIRST_TOKEN_S": "soon"}, "HEADRACE_MODEL_FIRST_TOKEN_S"),
        ({"HEADRACE_MODEL_CONNECT_S": "0"}, "HEADRACE_MODEL_CONNECT_S"),
        ({"HEADRACE_OFFLINE_TOKENS_PER_S": "inf"}, "HEADRACE_OFFLINE_TOKENS_PER_S"),
    ],
)
def test_an_invalid_setting_is_named_with_what_it_must_be(env, message):
    with pytest.raises(ValueError, match=f"{message}.*must" if "password" not in message else message):
        ProviderSettings.from_env(env)


def test_azures_resource_address_gets_its_path():
    env = {"AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com/", "AZURE_OPENAI_API_KEY": "k"}

    assert ProviderSettings.from_env(env).configured[0].base_url == "https://x.openai.azure.com/openai/v1"


def test_keys_stay_out_of_what_is_printed():
    assert "secret" not in repr(ProviderSettings.from_env({"OPENAI_API_KEY": "secret", "OLLAMA_API_KEY": "secret"}))


def test_every_vendor_row_can_be_configured():
    for vendor in VENDORS.values():
        env = dict.fromkeys(vendor.base_url_env[:1], "http://127.0.0.1:1/v1") | dict.fromkeys(vendor.key_env, "k")
        assert f"{vendor.name}/m" == resolved_model(f"{vendor.name}/m", **env)


async def test_the_unnamed_model_is_the_first_one_a_local_server_has():
    async with OllamaServer() as ollama, OpenAIServer() as openai:
        async with Providers(ProviderSettings.from_env({"OLLAMA_HOST": ollama.url})) as providers:
            assert str(await providers.resolve(None)) == "ollama/text-100:latest"
        async with Providers(ProviderSettings.from_env({"OPENAI_BASE_URL": openai.base_url})) as providers:
            assert str(await providers.resolve("auto")) == "openai/text-100"


async def test_an_empty_ollama_is_given_a_model_to_pull(monkeypatch):
    monkeypatch.setattr("tests.counterparts.ollama_server.LISTED", ())
    async with OllamaServer() as server, Providers(ProviderSettings.from_env({"OLLAMA_HOST": server.url})) as providers:
        assert f"ollama/{FIRST_MODEL}" == str(await providers.resolve(None))


async def test_a_provider_that_is_down_is_an_error_and_not_the_offline_model():
    async with Providers(ProviderSettings.from_env({"OLLAMA_HOST": UNREACHABLE_URL})) as providers:
        with pytest.raises(ProviderUnreachable):
            await providers.resolve("auto")


async def test_one_provider_that_is_down_does_not_hide_the_others_models():
    async with OpenAIServer() as server:
        env = {"OPENAI_BASE_URL": server.base_url, "OLLAMA_HOST": UNREACHABLE_URL}
        async with Providers(ProviderSettings.from_env(env)) as providers:
            models = await providers.list_models()

    assert {"openai"} == {m.provider for m in models}
    assert models[0].id == "openai/text-100"


async def test_the_list_is_asked_for_once_in_half_a_minute():
    time = [100.0]
    async with OpenAIServer() as server:
        settings = ProviderSettings.from_env({"OPENAI_BASE_URL": server.base_url})
        async with Providers(settings, now=lambda: time[0]) as providers:
            first = await providers.list_models()
            assert first == await providers.list_models()
            assert len(server.requests) == 1
            time[0] += 31
            await providers.list_models()
            assert len(server.requests) == 2


async def test_only_the_offline_model_is_listed_when_nothing_is_configured():
    async with Providers(ProviderSettings()) as providers:
        assert [str(OFFLINE)] == [m.id for m in await providers.list_models()]


async def test_a_provider_is_built_once_and_a_local_server_needs_no_key():
    async with OpenAIServer() as server:
        async with Providers(ProviderSettings.from_env({"OPENAI_BASE_URL": server.base_url})) as providers:
            assert providers.get("openai") is providers.get("openai")
            await collect(providers.get("openai"), ask("text-3"))
        assert "authorization" not in server.requests[-1].headers


async def test_a_session_that_was_passed_in_stays_open():
    async with open_session() as session:
        async with Providers(ProviderSettings(), session=session):
            pass
        assert not session.closed


def test_providers_are_preferred_in_one_order_whatever_they_speak():
    keys = ("GEMINI_API_KEY", "COHERE_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GROQ_API_KEY")
    settings = ProviderSettings.from_env(dict.fromkeys(keys, "k") | {"OLLAMA_HOST": "h"})

    assert ("ollama", "openai", "anthropic", "google", "cohere", "groq") == settings.names


@pytest.mark.parametrize(
    ("name", "url", "expected"),
    [
        ("ollama", "https://ollama.example.com", True),
        ("llamacpp", "http://gpu.example.com:8080/v1", True),
        ("openai", "http://127.0.0.1:8080/v1", True),
        ("openai", "http://localhost:8080/v1", True),
        ("openai", "http://[::1]:8080/v1", True),
        ("openai", "http://192.168.1.7/v1", True),
        ("openai", "http://models:8000/v1", True),
        ("openai", "http://host.docker.internal:8000/v1", True),
        ("openai", "https://api.openai.com/v1", False),
        ("groq", "https://api.groq.com/openai/v1", False),
        ("openai", "https://8.8.8.8/v1", False),
    ],
)
def test_a_server_nearby_has_time_to_read_its_prompt(name: str, url: str, expected: bool):
    settings = ProviderSettings.from_env({"HEADRACE_MODEL_CONNECT_S": "3"})
    limits = settings.timeouts_for(ProviderAccess(name, url))

    assert expected == is_local(name, url)
    assert ((300.0 if expected else 60.0), 3.0) == (limits.first_token_s, limits.connect_s)


def test_a_time_that_is_set_holds_for_servers_nearby_too():
    settings = ProviderSettings.from_env({"HEADRACE_MODEL_FIRST_TOKEN_S": "7"})

    assert settings.timeouts_for(ProviderAccess("ollama", "http://127.0.0.1:11434")).first_token_s == 7.0
