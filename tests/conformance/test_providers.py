"""What every provider must do, run against every implementation, over a real socket if it has one."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from graphs.providers.anthropic.provider import Anthropic
from graphs.providers.cohere.provider import Cohere
from graphs.providers.contract import (
    Embedder,
    Finished,
    Message,
    ModelRequest,
    Provider,
    ProviderTimeouts,
    TextDelta,
    Usage,
)
from graphs.providers.errors import (
    ModelUnknown,
    ProviderInvalidResponse,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRefused,
    ProviderRejectedKey,
    ProviderStalled,
    ProviderStreamCut,
    ProviderTimeout,
    ProviderUnreachable,
)
from graphs.providers.google.provider import Google
from graphs.providers.offline.provider import Offline
from graphs.providers.ollama.provider import Ollama
from graphs.providers.openai.provider import OpenAICompatible
from graphs.providers.openai.vendors import VENDORS
from tests.conformance.langchain_models import EMBEDDER, SharedProcess
from tests.counterparts.anthropic.server import AnthropicServer
from tests.counterparts.behaviours import text
from tests.counterparts.cohere.server import CohereServer
from tests.counterparts.google.server import GoogleServer
from tests.counterparts.http_server import CounterpartServer
from tests.counterparts.ollama_server import OllamaServer
from tests.counterparts.openai.responses_server import ResponsesServer
from tests.counterparts.openai.server import OpenAIServer
from tests.graphs.model_requests import PATIENT, SHORT_SILENCES, ask, collect, text_of
from tests.waiting import PATIENCE_S

Turns = list[tuple[str, str]]


def openai_turns(body: dict[str, Any]) -> Turns:
    return [(m["role"], m["content"]) for m in body["messages"]]


def anthropic_turns(body: dict[str, Any]) -> Turns:
    system = "".join(block["text"] for block in body["system"])
    return [("system", system), *((m["role"], "".join(b["text"] for b in m["content"])) for m in body["messages"])]


def google_turns(body: dict[str, Any]) -> Turns:
    roles = {"model": "assistant"}
    turns = [(roles.get(c["role"], c["role"]), c["parts"][0]["text"]) for c in body["contents"]]
    return [("system", body["systemInstruction"]["parts"][0]["text"]), *turns]


def responses_turns(body: dict[str, Any]) -> Turns:
    return [(item["role"], item["content"][0]["text"]) for item in body["input"]]


@dataclass(frozen=True)
class Kind:
    """A provider with a counterpart: `turns` reads (role, text) of each message of a request."""

    server: Callable[[], Any]
    build: Callable[[aiohttp.ClientSession, Any, ProviderTimeouts], Provider]
    turns: Callable[[dict[str, Any]], Turns] = openai_turns


KINDS = {
    "openai_compatible": Kind(
        OpenAIServer, lambda s, server, t: OpenAICompatible(s, VENDORS["openai"].at(server.base_url), timeouts=t)
    ),
    "openai_responses": Kind(
        ResponsesServer,
        lambda s, server, t: OpenAICompatible(
            s, VENDORS["openai"].at(server.base_url), timeouts=t, by_responses=("*",)
        ),
        responses_turns,
    ),
    "ollama": Kind(OllamaServer, lambda s, server, t: Ollama(s, server.url, timeouts=t)),
    "anthropic": Kind(
        AnthropicServer, lambda s, server, t: Anthropic(s, server.url, key="k", timeouts=t), anthropic_turns
    ),
    "cohere": Kind(CohereServer, lambda s, server, t: Cohere(s, server.url, timeouts=t)),
    "google": Kind(GoogleServer, lambda s, server, t: Google(s, server.url, timeouts=t), google_turns),
}
LANGCHAIN = SharedProcess()
KINDS |= {
    "langchain_openai": Kind(OpenAIServer, lambda _, server, t: LANGCHAIN.provider(server, t)),
    "langchain_ollama": Kind(OllamaServer, lambda _, server, t: LANGCHAIN.provider(server, t)),
}
REMOTE = tuple(KINDS)
"""A machine may be slow: only silence that is meant is told apart quickly."""


@dataclass
class ProviderCase:
    """A provider, and its counterpart if it has one."""

    provider: Provider
    server: CounterpartServer | None
    model: str = "text-100"
    turns: Callable[[dict[str, Any]], Turns] = openai_turns

    @property
    def counterpart(self) -> CounterpartServer:
        assert self.server is not None
        return self.server


@pytest.fixture(scope="module", autouse=True)
async def _ends_the_process_of_langchain() -> AsyncGenerator[None, None]:
    yield
    await LANGCHAIN.close()


async def serve(name: str, timeouts: ProviderTimeouts = PATIENT) -> AsyncGenerator[ProviderCase, None]:
    if name == "offline":
        yield ProviderCase(Offline(tokens_per_s=0), None, "extractive")
        return
    kind = KINDS[name]
    async with kind.server() as server, aiohttp.ClientSession() as session:
        yield ProviderCase(kind.build(session, server, timeouts), server, turns=kind.turns)


serving = asynccontextmanager(serve)


@pytest.fixture(params=[*REMOTE, "offline"])
async def case(request: pytest.FixtureRequest) -> AsyncGenerator[ProviderCase, None]:
    async for one in serve(request.param):
        yield one


@pytest.fixture(params=REMOTE)
async def remote_case(request: pytest.FixtureRequest) -> AsyncGenerator[ProviderCase, None]:
    async for one in serve(request.param):
        yield one


async def test_it_is_a_provider(case: ProviderCase):
    assert isinstance(case.provider, Provider)
    assert case.provider.name


async def test_a_stream_ends_with_exactly_one_finished_and_its_usage(case: ProviderCase):
    deltas = await collect(case.provider, ask(case.model))

    assert [Finished] == [type(d) for d in deltas if not isinstance(d, TextDelta)]
    assert isinstance(deltas[-1], Finished)
    assert deltas[-1].reason == "stop"
    assert deltas[-1].usage.input_tokens > 0
    assert deltas[-1].usage.output_tokens > 0
    assert not deltas[-1].usage.estimated


async def test_the_same_request_gives_the_same_text(case: ProviderCase):
    request = ask(case.model, seed=7, temperature=0.0)

    first = text_of(await collect(case.provider, request))

    assert first != ""
    assert first == text_of(await collect(case.provider, request))


async def test_max_tokens_ends_the_answer_with_reason_length(case: ProviderCase):
    deltas = await collect(case.provider, ask(case.model, max_tokens=4))

    assert isinstance(deltas[-1], Finished)
    assert (deltas[-1].reason, deltas[-1].usage.output_tokens) == ("length", 4)


async def test_an_unknown_model_is_named_in_the_error_and_not_worth_a_retry(case: ProviderCase):
    with pytest.raises(ModelUnknown, match="no-such-model") as caught:
        await collect(case.provider, ask("no-such-model"))

    assert (caught.value.code, caught.value.retryable) == ("model_unknown", False)


async def test_models_are_listed_under_the_providers_name(case: ProviderCase):
    models = await case.provider.list_models()

    assert models
    assert {case.provider.name} == {m.provider for m in models}
    assert f"{case.provider.name}/{models[0].name}" == models[0].id


async def test_a_good_key_passes_the_check(case: ProviderCase):
    await case.provider.check_key()


async def test_many_streams_at_once_do_not_mix(case: ProviderCase):
    whole = text_of(await collect(case.provider, ask(case.model)))

    streams = await asyncio.gather(*(collect(case.provider, ask(case.model, max_tokens=n)) for n in range(1, 21)))

    assert list(range(1, 21)) == [d.usage.output_tokens for s in streams for d in s if isinstance(d, Finished)]
    assert [whole[: len(text_of(s))] for s in streams] == [text_of(s) for s in streams]
    assert len({text_of(s) for s in streams}) == 20


async def test_the_text_arrives_byte_for_byte(remote_case: ProviderCase):
    deltas = await collect(remote_case.provider, ask("text-1000"))

    assert text(1000) == text_of(deltas)
    assert isinstance(deltas[-1], Finished)
    assert ("stop", Usage(5, 1000)) == (deltas[-1].reason, deltas[-1].usage)


@pytest.mark.parametrize(
    ("model", "expected", "before"),
    [
        ("stall-first", ProviderTimeout, 0),
        ("slow-connect", ProviderTimeout, 0),
        ("stall-after-10", ProviderStalled, 10),
        ("cut-after-10", ProviderStreamCut, 10),
        ("short-after-10", ProviderStreamCut, 10),
        ("short-after-0", ProviderStreamCut, 0),
        ("garbage-after-10", ProviderInvalidResponse, 10),
        ("error-after-10", ProviderOverloaded, 10),
        ("overloaded-1", ProviderOverloaded, 0),
        ("rate-limit-1", ProviderRateLimited, 0),
    ],
)
@pytest.mark.parametrize("name", REMOTE)
async def test_a_failure_that_may_pass_is_never_a_short_success(name: str, model, expected, before):
    deltas = []

    with pytest.raises(expected) as caught:
        async with serving(name, SHORT_SILENCES.get(model, PATIENT)) as case:
            await collect(case.provider, ask(model), into=deltas)

    assert caught.value.retryable
    assert text(before) == text_of(deltas)
    assert not any(isinstance(d, Finished) for d in deltas)


@pytest.mark.parametrize(
    ("model", "expected"),
    [("refuse-400", ProviderRefused), ("refuse-422", ProviderRefused), ("refuse-401", ProviderRejectedKey)],
)
async def test_a_failure_that_cannot_pass_says_so(remote_case: ProviderCase, model, expected):
    with pytest.raises(expected) as caught:
        await collect(remote_case.provider, ask(model))

    assert not caught.value.retryable


async def test_a_rate_limit_carries_the_vendors_wish(remote_case: ProviderCase):
    with pytest.raises(ProviderRateLimited) as caught:
        await collect(remote_case.provider, ask("rate-limit-1"))

    assert caught.value.retry_after_s == 0.2
    assert text(10) == text_of(await collect(remote_case.provider, ask("rate-limit-1")))


async def test_cancelling_the_reader_closes_the_vendors_socket(remote_case: ProviderCase):
    began = asyncio.Event()

    async def read() -> None:
        async for _ in remote_case.provider.stream(ask("text-5000-at-200")):
            began.set()

    task = asyncio.create_task(read())
    await asyncio.wait_for(began.wait(), PATIENCE_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    record = remote_case.counterpart.requests[-1]
    await remote_case.counterpart.until(lambda: record.client_closed_ns > 0)
    assert 0 < record.tokens_sent < 1000


async def test_cancelling_before_the_first_token_closes_the_vendors_socket(remote_case: ProviderCase):
    task = asyncio.create_task(collect(remote_case.provider, ask("slow-first-5")))
    await remote_case.counterpart.until_begun()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await remote_case.counterpart.until(lambda: remote_case.counterpart.requests[-1].client_closed_ns > 0)


async def test_leaving_the_stream_early_closes_the_vendors_socket(remote_case: ProviderCase):
    async with aclosing(remote_case.provider.stream(ask("text-5000-at-200"))) as stream:
        async for _ in stream:
            break

    record = remote_case.counterpart.requests[-1]
    await remote_case.counterpart.until(lambda: record.client_closed_ns > 0)
    assert 0 < record.tokens_sent < 1000


@pytest.mark.parametrize("model", ["text-10", "late-end-10"])
async def test_a_finished_stream_leaves_its_connection_for_the_next(remote_case: ProviderCase, model: str):
    for _ in range(5):
        await collect(remote_case.provider, ask(model))

    assert len(remote_case.counterpart.connections) == 1
    assert [record.client_closed_ns for record in remote_case.counterpart.requests] == [0] * 5


@pytest.mark.parametrize("name", REMOTE)
async def test_a_slow_reader_is_not_taken_for_a_slow_vendor(name: str):
    deltas, loop = [], asyncio.get_running_loop()
    silence = SHORT_SILENCES["stall-after-10"]
    async with serving(name, silence) as case, aclosing(case.provider.stream(ask("text-20-at-100"))) as stream:
        async for delta in stream:
            if not deltas:
                paused = loop.create_future()
                loop.call_later(1.5 * silence.between_tokens_s, paused.set_result, None)
                await paused
            deltas.append(delta)

    assert text(20) == text_of(deltas)


async def test_nobody_listening_is_unreachable(remote_case: ProviderCase):
    await remote_case.counterpart.stop()

    with pytest.raises(ProviderUnreachable):
        await collect(remote_case.provider, ask("text-10"))
    if remote_case.provider.name == "langchain":  # its classes can't be asked without paying
        return
    with pytest.raises(ProviderUnreachable):
        await remote_case.provider.check_key()


async def test_a_connection_closed_while_idle_costs_no_error(remote_case: ProviderCase):
    await collect(remote_case.provider, ask("text-10"))
    for connection in remote_case.counterpart.connections:
        connection.transport.close()

    try:
        deltas = await collect(remote_case.provider, ask("text-10"))
    except ProviderUnreachable:
        # Clients of LangChain's classes may send before they see the close. Jobs are tried again.
        assert "langchain" == remote_case.provider.name
        deltas = await collect(remote_case.provider, ask("text-10"))

    assert text(10) == text_of(deltas)


async def test_missing_usage_is_estimated_and_marked(remote_case: ProviderCase):
    finished = (await collect(remote_case.provider, ask("no-usage-12")))[-1]

    assert isinstance(finished, Finished)
    assert finished.usage.estimated
    assert 5 < finished.usage.output_tokens < 25


async def test_every_text_gets_its_vector_in_order(remote_case: ProviderCase):
    if remote_case.provider.name == "anthropic":  # has no vectors
        assert not isinstance(remote_case.provider, Embedder)
        return

    model = EMBEDDER if remote_case.provider.name == "langchain" else "text-1"
    vectors = await remote_case.provider.embed(["a", "bcd", "ef"], model)

    if isinstance(remote_case.server, OpenAIServer) and model == EMBEDDER:  # this class doesn't look at their numbers
        vectors.sort(key=lambda v: [1.0, 3.0, 2.0].index(v[0]))
    assert [v[0] for v in vectors] == [1.0, 3.0, 2.0]
    assert await remote_case.provider.embed([], model) == []


async def test_a_system_prompt_and_history_reach_the_vendor_in_order(remote_case: ProviderCase):
    turns = (("system", "be brief"), ("user", "one"), ("assistant", "two"), ("user", "three"))
    messages = tuple(Message.of(role, said) for role, said in turns)

    await collect(remote_case.provider, ModelRequest(model="text-1", messages=messages))

    assert list(turns) == remote_case.turns(remote_case.counterpart.requests[-1].body)
