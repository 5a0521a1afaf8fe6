"""Models of LangChain: listed by the operator, called in a process apart; what a request and an answer have of their own."""

import asyncio
import inspect
import json
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from graphs.embeddings.registry import open_embedder
from graphs.providers.contract import (
    Delta,
    ExtraDelta,
    Finished,
    ImagePart,
    Message,
    ModelRequest,
    ProviderTimeouts,
    ReasoningDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
)
from graphs.providers.default_model import default_model_error
from graphs.providers.errors import (
    ContextTooLong,
    ModelUnknown,
    ProviderRefused,
    ProviderRejectedKey,
    ProviderUnknown,
    ProviderUnreachable,
    ToolsUnsupported,
)
from graphs.providers.ignored import ignored_options
from graphs.providers.langchain import described
from graphs.providers.langchain.listing import SETTING, LangChainModel, read_listed_models
from graphs.providers.langchain.process import ModelProcess
from graphs.providers.langchain.provider import LangChain
from graphs.providers.registry import Providers
from graphs.providers.settings import ProviderSettings, resolve
from tests.conformance.langchain_models import EMBEDDER, made_for
from tests.counterparts.http_server import Exchange
from tests.counterparts.ollama_server import OllamaServer
from tests.counterparts.openai.responses_server import ResponsesServer
from tests.counterparts.openai.server import OpenAIServer
from tests.graphs.model_requests import PATIENT, ask, collect, text_of
from tests.graphs.providers.langchain import own_models
from tools.langchain.child import ClassCall

FAKE = ClassCall("langchain_core.language_models:FakeListChatModel", {"responses": ["as it is written"]})
TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Looks.",
        "parameters": {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "string"}}},
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"why": {"type": "string"}, "answer": {"type": "string"}},
    "required": ["why"],
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "said", "schema": SCHEMA}}


class TooLong(OpenAIServer):
    """A vendor whose model reads very little."""

    async def handle(self, exchange: Exchange) -> None:
        said = {"message": "This model's maximum context length is 8 tokens.", "code": "context_length_exceeded"}
        exchange.answer(400, {"error": said})


@pytest.fixture(scope="module")
async def process() -> AsyncGenerator[ModelProcess, None]:
    process = ModelProcess()
    yield process
    await process.close()


def provider(process: ModelProcess, *models: LangChainModel, timeouts: ProviderTimeouts = PATIENT) -> LangChain:
    return LangChain({one.name: one for one in models}, timeouts=timeouts, process=process)


def of(server: Any, name: str, **arguments: Any) -> LangChainModel:
    return LangChainModel(name, made_for(server, name, **arguments))


def listing(folder: Path, *models: Any) -> dict[str, str]:
    file = folder / "models.json"
    file.write_text(json.dumps(models))
    return {SETTING: str(file), "SHOP_KEY": "canary-key-4711"}


async def test_a_conversation_arrives_as_it_was_meant_and_schemas_keep_their_order(process: ModelProcess):
    messages = (
        Message("user", (TextPart("look"), ImagePart("https://pictures.example/a.png", "low"))),
        Message("assistant", (TextPart("I look."), ToolCallPart("c1", "look", '{"z": "1", "a": "2"}'))),
        Message("tool", (ToolResultPart("c1", "nothing", "look"),)),
        Message("user", (TextPart("and now?"),), {"name": "Lan"}),
    )
    async with OpenAIServer() as server:
        request = ModelRequest(model="text-3", messages=messages, tools=(TOOL,), response_format=FORMAT, stop=("END",))
        await collect(provider(process, of(server, "text-3")), request)
        body = server.requests[-1].body

    picture = {"type": "image_url", "image_url": {"url": "https://pictures.example/a.png", "detail": "low"}}
    assert [{"type": "text", "text": "look"}, picture] == body["messages"][0]["content"]
    call = body["messages"][1]["tool_calls"][0]
    assert ("c1", "look", '{"z": "1", "a": "2"}') == (
        call["id"],
        call["function"]["name"],
        call["function"]["arguments"],
    )
    assert ("tool", "c1", "nothing") == tuple(body["messages"][2][name] for name in ("role", "tool_call_id", "content"))
    assert ("Lan", "and now?") == (body["messages"][3]["name"], body["messages"][3]["content"])
    assert ["z", "a"] == list(body["tools"][0]["function"]["parameters"]["properties"])
    assert FORMAT == body["response_format"]
    assert ["why", "answer"] == list(body["response_format"]["json_schema"]["schema"]["properties"])
    assert ["END"] == body["stop"]


async def test_options_are_fields_of_the_class_and_nothing_else_of_a_request_is(process: ModelProcess):
    options = {"temperature": 0.3, "top_p": 0.5, "max_tokens": 9, "seed": 7, "presence_penalty": 0.5}
    extra = {
        "base_url": "http://127.0.0.1:1",
        "openai_api_base": "http://127.0.0.1:1",
        "top_logprobs": 2,
        "logprobs": True,
    }
    async with OpenAIServer() as server, OllamaServer() as ollama:
        await collect(provider(process, of(server, "text-3")), ask("text-3", **options, extra=extra))
        await collect(
            provider(process, of(ollama, "text-3")), ask("text-3", **options, extra={"num_ctx": 4096, "top_k": 5})
        )
        openai_body, ollama_body = server.requests[-1].body, ollama.requests[-1].body

    assert {"max_completion_tokens": 9, "top_logprobs": 2}.items() <= openai_body.items()
    assert {name: options[name] for name in options if name != "max_tokens"}.items() <= openai_body.items()
    expected = {"temperature": 0.3, "top_p": 0.5, "num_predict": 9, "seed": 7, "num_ctx": 4096, "top_k": 5}
    assert expected == ollama_body["options"]


async def test_calls_stream_with_their_ids_names_and_arguments(process: ModelProcess):
    async with OpenAIServer() as server, OllamaServer() as ollama:
        for one in (server, ollama):
            deltas = await collect(provider(process, of(one, "tool-call")), ask("tool-call", tools=(TOOL,)))

            calls = [delta for delta in deltas if isinstance(delta, ToolCallDelta)]
            assert "look" == calls[0].name
            assert calls[0].id
            assert {"city": "Hà Nội"} == json.loads("".join(call.arguments for call in calls))
            assert isinstance(deltas[-1], Finished)
            assert "tool_calls" == deltas[-1].reason


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("required", "required"),
        ({"type": "function", "function": {"name": "look"}}, {"type": "function", "function": {"name": "look"}}),
        ("auto", None),
    ],
)
async def test_a_choice_of_tools_is_said_in_the_vendors_words(process: ModelProcess, choice: Any, sent: Any):
    async with OpenAIServer() as server:
        request = ask("text-3", tools=(TOOL,), tool_choice=choice, parallel_tool_calls=False)
        await collect(provider(process, of(server, "text-3")), request)

        assert sent == server.requests[-1].body.get("tool_choice")
        assert server.requests[-1].body["parallel_tool_calls"] is False


async def test_no_tools_are_offered_if_none_may_be_called(process: ModelProcess):
    async with OpenAIServer() as server:
        await collect(provider(process, of(server, "text-3")), ask("text-3", tools=(TOOL,), tool_choice="none"))

        assert "tools" not in server.requests[-1].body


async def test_what_a_class_cannot_do_is_refused_with_the_reason(process: ModelProcess):
    fake = provider(process, LangChainModel("fake", FAKE))
    async with OllamaServer() as server:
        request = ask("text-3", tools=(TOOL,), tool_choice="required")
        with pytest.raises(ProviderRefused, match="takes no `tool_choice`"):
            await collect(provider(process, of(server, "text-3")), request)
    with pytest.raises(ProviderRefused, match="takes no `response_format`"):
        await collect(fake, ask("fake", response_format=FORMAT))
    with pytest.raises(ToolsUnsupported):
        await collect(fake, ask("fake", tools=(TOOL,)))
    with pytest.raises(ProviderRefused, match="embeds nothing"):
        await fake.embed(["a"], "fake")
    with pytest.raises(ModelUnknown, match="'other'; the operator's list has: fake"):
        await collect(fake, ask("other"))


async def test_a_class_that_never_says_why_it_ended_is_taken_at_its_word(process: ModelProcess):
    deltas = await collect(provider(process, LangChainModel("fake", FAKE)), ask("fake"))

    assert "as it is written" == text_of(deltas)
    assert isinstance(deltas[-1], Finished)
    assert ("stop", True) == (deltas[-1].reason, deltas[-1].usage.estimated)


async def test_an_answer_by_the_responses_api_ends_thinks_and_gets_its_thoughts_back(process: ModelProcess):
    async with ResponsesServer() as server:
        arguments = {
            "base_url": server.base_url,
            "api_key": "k",
            "use_responses_api": True,
            "output_version": "responses/v1",
            "store": False,
            "include": ["reasoning.encrypted_content"],
        }
        made = ClassCall("langchain_openai:ChatOpenAI", {"model": "reasoning", **arguments})
        model = provider(process, LangChainModel("thinker", made))
        deltas = await collect(model, ask("thinker"))
        extra = next((delta.extra for delta in deltas if isinstance(delta, ExtraDelta)), {})
        said = Message("assistant", (TextPart(text_of(deltas)),), extra, "langchain")
        await collect(
            model, ModelRequest(model="thinker", messages=(Message.of("user", "a"), said, Message.of("user", "b")))
        )
        sent = server.requests[-1].body["input"]

    assert isinstance(deltas[-1], Finished)
    assert "stop" == deltas[-1].reason
    assert any(isinstance(delta, ReasoningDelta) for delta in deltas)
    assert "reasoning" in [item.get("type") for item in sent]


async def test_a_vendors_refusal_says_what_it_said_but_no_secret(process: ModelProcess):
    async with OpenAIServer() as server:
        listed = LangChainModel("m", made_for(server, "refuse-401", api_key="canary-key-4711"), ("canary-key-4711",))
        with pytest.raises(ProviderRejectedKey) as caught:
            await collect(provider(process, listed), ask("m"))
    made = ClassCall("langchain_openai:ChatOpenAI", {"model": {"not": "canary-key-4711"}})
    with pytest.raises(ProviderUnknown, match="langchain/broken can't be made from its list") as broken:
        await collect(provider(process, LangChainModel("broken", made, ("canary-key-4711",))), ask("broken"))

    assert "canary" not in caught.value.message + broken.value.message


async def test_a_class_that_is_missing_is_named(process: ModelProcess):
    missing = LangChainModel("missing", ClassCall("langchain_openai:NoSuchModel"))
    with pytest.raises(ProviderUnknown, match="NoSuchModel"):
        await collect(provider(process, missing), ask("missing"))


async def _rest(stream: AsyncGenerator[Delta, None]) -> None:
    async for _ in stream:
        pass


async def test_a_process_that_is_killed_fails_its_calls_and_the_next_one_starts_another():
    process = ModelProcess()
    async with OpenAIServer() as server:
        model = provider(process, of(server, "text-5000-at-200"), of(server, "text-10"))
        async with aclosing(model.stream(ask("text-5000-at-200"))) as stream:
            await anext(stream)
            assert process._child is not None
            os.kill(process._child.process.pid, signal.SIGKILL)
            with pytest.raises(ProviderUnreachable, match="ended"):
                await _rest(stream)
        text = text_of(await collect(model, ask("text-10")))
        await model.close()

    assert text
    assert process._child is None


async def test_queries_and_passages_are_embedded_by_the_class(process: ModelProcess):
    async with OllamaServer() as server:
        model = provider(process, of(server, EMBEDDER))

        assert [[1.0], [3.0]] == [vector[:1] for vector in await model.embed_for(["a", "bcd"], EMBEDDER, "query")]
        assert [["a"], ["bcd"]] == [record.body["input"] for record in server.requests]
        assert [[1.0], [3.0]] == [vector[:1] for vector in await model.embed_for(["a", "bcd"], EMBEDDER, "passage")]
        with pytest.raises(ProviderRefused, match="answers no messages"):
            await collect(model, ask(EMBEDDER))


async def test_the_operators_list_makes_models_and_embedders_of_an_installation(tmp_path: Path):
    async with OpenAIServer() as server, OllamaServer() as ollama:
        chat = {"model": "text-3", "base_url": server.base_url, "api_key": {"env": "SHOP_KEY"}}
        vectors = {"model": "text-1", "base_url": ollama.url}
        env = listing(
            tmp_path,
            {"name": "shop", "class": "langchain_openai:ChatOpenAI", "arguments": chat},
            {"name": "vectors", "class": "langchain_ollama:OllamaEmbeddings", "arguments": vectors},
        )
        settings = ProviderSettings.from_env(env)
        async with Providers(settings) as providers:
            assert ["langchain/shop", "langchain/vectors"] == [model.id for model in await providers.list_models()]
            assert "langchain/shop" == str(await providers.resolve(None))
            assert text_of(await collect(providers.get("langchain"), ask("shop")))
            embedder = open_embedder("langchain/vectors", providers.get)
            assert 2 == len(await embedder.embed(["a", "bcd"], "passage"))
            assert ["a", "bcd"] == ollama.requests[-1].body["input"]
        sent = server.requests[-1].headers

    assert "Bearer canary-key-4711" == sent["authorization"]
    assert "canary" not in repr(settings)


async def test_a_conversation_that_is_too_long_says_so(process: ModelProcess):
    async with TooLong() as server:
        with pytest.raises(ContextTooLong, match="maximum context length is 8") as caught:
            await collect(provider(process, of(server, "text-3")), ask("text-3"))

    assert "context_length_exceeded" == caught.value.vendor_code


def test_what_a_class_has_no_field_for_is_named_as_ignored(tmp_path: Path):
    env = listing(
        tmp_path,
        {"name": "fake", "class": FAKE.class_name, "arguments": FAKE.arguments},
        {"name": "gpt", "class": "langchain_openai:ChatOpenAI", "arguments": {"model": "m", "api_key": "k"}},
        {"name": "broken", "class": "langchain_openai:NoSuchModel"},
    )
    described.describe_listed_models(read_listed_models(env), {})
    options = {
        "temperature": 0.3,
        "seed": 7,
        "stop": ["x"],
        "extra": {"n": 2, "logit_bias": {}, "metadata": {"a": "b"}},
    }
    try:
        assert ["logit_bias", "n", "seed", "temperature"] == ignored_options("langchain/fake", options)
        assert ["n"] == ignored_options("langchain/gpt", options)
        assert [] == ignored_options("langchain/broken", options)
    finally:
        described.describe_listed_models((), {})


async def test_what_cannot_be_made_is_not_listed_is_logged_with_its_reason_and_health_names_it(tmp_path: Path):
    env = listing(
        tmp_path,
        {"name": "absent", "class": "acme_models:Model"},
        {
            "name": "keyed",
            "class": "langchain_openai:ChatOpenAI",
            "arguments": {"timeout": {"no": {"env": "SHOP_KEY"}}},
        },
        {"name": "fake", "class": FAKE.class_name, "arguments": FAKE.arguments},
    )
    settings = ProviderSettings.from_env(env)
    with capture_logs() as logs:
        await asyncio.to_thread(described.describe_listed_models, settings.langchain_models, {})
    try:
        async with Providers(settings) as providers:
            assert ["langchain/fake"] == [model.id for model in await providers.list_models()]
            assert "langchain/fake" == str(await providers.resolve(None))
        reasons = {line["model"]: line["reason"] for line in logs if "model" in line}
        assert {"absent", "keyed"} == set(reasons)
        assert "No module named 'acme_models'" in reasons["absent"]
        assert "canary" not in str(logs)
        assert "" == default_model_error(settings)
        assert "acme_models" in default_model_error(replace(settings, default_model="langchain/absent"))
        assert "" == default_model_error(replace(settings, default_model="langchain/fake"))
        assert "acme_models" in default_model_error(replace(settings, langchain_models=settings.langchain_models[:2]))
    finally:
        described.describe_listed_models((), {})


def test_a_class_of_the_operators_own_lies_beside_the_list(tmp_path: Path):
    (tmp_path / "acme_models.py").write_text(inspect.getsource(own_models))
    models = read_listed_models(listing(tmp_path, {"name": "own", "class": "acme_models:Own"}))
    described.describe_listed_models(models, {})
    try:
        assert described.described_model("own") is not None
    finally:
        described.describe_listed_models((), {})


@pytest.mark.parametrize("name", ["langchain/", "openai/ ", "offline/"])
def test_a_provider_without_a_model_is_no_model(tmp_path: Path, name: str):
    settings = ProviderSettings.from_env(listing(tmp_path, {"name": "a", "class": "a:B"}) | {"OPENAI_API_KEY": "k"})

    with pytest.raises(ModelUnknown, match="names no model"):
        resolve(name, settings)


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ([{"class": "a:B"}], "missing required field `name`"),
        ([{"name": "a", "class": "no class"}], "matching regex"),
        ([{"name": "a/b", "class": "a:B"}], "matching regex"),
        (
            [{"name": "a", "class": "a:B", "arguments": {"k": {"env": "NOT_SET"}}}],
            "entry 1 .a.: the setting NOT_SET",
        ),
        ([{"name": "a", "class": "a:B", "key": "k"}], "unknown field"),
        ([{"name": "a", "class": "a:B"}] * 2, "lists 'a' twice"),
    ],
)
def test_a_wrong_list_is_named_with_what_is_wrong(tmp_path: Path, listed: Any, said: str):
    with pytest.raises(ValueError, match=said) as caught:
        read_listed_models(listing(tmp_path, *listed))
    assert SETTING in str(caught.value)
