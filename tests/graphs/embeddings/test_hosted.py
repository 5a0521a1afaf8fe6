"""Embedders of providers, over real sockets: calls of bounded size, tries, vectors of length 1, words before texts."""

import math
from collections.abc import AsyncIterator, Sequence

import aiohttp
import pytest

from graphs.embeddings.hosted import MAX_TEXTS, MAX_TRIES, HostedEmbedder, split_batches
from graphs.embeddings.purposes import can_truncate, purpose_prefix
from graphs.embeddings.registry import OpenEmbedder, open_embedder
from graphs.providers.errors import (
    ModelUnknown,
    ProviderInvalidResponse,
    ProviderOverloaded,
    ProviderRefused,
)
from graphs.providers.ollama.provider import Ollama
from graphs.providers.openai.provider import OpenAICompatible
from graphs.providers.openai.vendors import VENDORS
from tests.counterparts.http_server import CounterpartServer, Exchange
from tests.counterparts.ollama_server import OllamaServer
from tests.counterparts.openai.server import OpenAIServer, vector
from tests.graphs.model_requests import PATIENT


def no_delay(error: Exception, tries: int) -> float:
    return 0.0


def unit(of: Sequence[float]) -> list[float]:
    length = math.hypot(*of)
    return [x / length for x in of]


class FailingServer(OpenAIServer):
    """Fails so many calls with this status before it answers."""

    def __init__(self, fails: int, status: int = 503) -> None:
        super().__init__()
        self.left, self.status = fails, status

    async def handle(self, exchange: Exchange) -> None:
        if self.left:
            self.left -= 1
            exchange.answer(self.status, {"error": {"message": "no", "type": "server_error", "code": None}})
        else:
            await super().handle(exchange)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def open_hosted(
    server: CounterpartServer, session: aiohttp.ClientSession, model: str, *, with_retries: bool = True
) -> OpenEmbedder:
    """`model` of the provider that is this counterpart."""
    if isinstance(server, OllamaServer) and not model.startswith("absent-"):
        server.answer_with(lambda body: None, model)  # so that it has the model
    provider = (
        Ollama(session, server.url, timeouts=PATIENT)
        if isinstance(server, OllamaServer)
        else OpenAICompatible(session, VENDORS["openai"].at(server.url + "/v1"), timeouts=PATIENT)
    )
    name = f"{provider.name}/{model}"
    return open_embedder(name, lambda _: provider, retry_delay_s=no_delay if with_retries else None)


@pytest.mark.parametrize("kind", [OllamaServer, OpenAIServer])
async def test_vectors_come_in_order_at_length_one_in_calls_of_bounded_size(
    kind: type[CounterpartServer], session: aiohttp.ClientSession
):
    texts = [f"text {number}" for number in range(2 * MAX_TEXTS + 5)]
    async with kind() as server:
        found = await open_hosted(server, session, "bge-m3").embed(texts, "passage")
        sent = [record.body["input"] for record in server.requests]
    assert [pytest.approx(unit(vector(text))) for text in texts] == found
    assert [MAX_TEXTS, MAX_TEXTS, 5] == [len(call) for call in sent]


@pytest.mark.parametrize("kind", [OllamaServer, OpenAIServer])
async def test_a_model_gets_the_words_that_it_was_trained_with(
    kind: type[CounterpartServer], session: aiohttp.ClientSession
):
    async with kind() as server:
        one = open_hosted(server, session, "nomic-embed-text:latest")
        await one.embed(["who?"])
        await one.embed(["him"], "passage")
        assert [["search_query: who?"], ["search_document: him"]] == [
            record.body["input"] for record in server.requests
        ]


async def test_what_may_pass_is_tried_again(session: aiohttp.ClientSession):
    async with FailingServer(MAX_TRIES - 1) as server:
        assert [pytest.approx(unit(vector("a")))] == await open_hosted(server, session, "m").embed(["a"])
        assert MAX_TRIES == len(server.requests)


async def test_tries_are_spent_some_day(session: aiohttp.ClientSession):
    async with FailingServer(MAX_TRIES) as server:
        with pytest.raises(ProviderOverloaded):
            await open_hosted(server, session, "m").embed(["a"])
        assert MAX_TRIES == len(server.requests)


async def test_what_can_not_pass_is_not_tried_again(session: aiohttp.ClientSession):
    async with FailingServer(1, status=400) as server:
        with pytest.raises(ProviderRefused):
            await open_hosted(server, session, "m").embed(["a"])
        assert 1 == len(server.requests)


async def test_nothing_is_tried_again_while_somebody_waits(session: aiohttp.ClientSession):
    async with FailingServer(1) as server:
        with pytest.raises(ProviderOverloaded):
            await open_hosted(server, session, "m", with_retries=False).embed(["a"])
        assert 1 == len(server.requests)


async def test_a_missing_model_is_named(session: aiohttp.ClientSession):
    async with OllamaServer() as server:
        with pytest.raises(ModelUnknown, match="absent-m"):
            await open_hosted(server, session, "absent-m").embed(["a"])


class StubProvider:
    """A provider that sends what it is told."""

    def __init__(self, *vectors: list[float]) -> None:
        self.vectors = list(vectors)

    async def embed(self, texts: Sequence[str], model: str) -> list[list[float]]:
        return self.vectors[: len(texts)]


@pytest.mark.parametrize("wrong", [[], [0.0, 0.0], [float("nan"), 1.0], [float("inf"), 1.0]])
async def test_a_vector_without_a_direction_is_garbage(wrong: list[float]):
    with pytest.raises(ProviderInvalidResponse, match="empty, zero or not finite"):
        await HostedEmbedder("odd", StubProvider(wrong)).embed(["a"], "m")


async def test_vectors_of_two_sizes_are_garbage_and_the_sizes_are_named():
    with pytest.raises(ProviderInvalidResponse, match="2 and 3 numbers"):
        await HostedEmbedder("odd", StubProvider([1.0, 2.0], [1.0, 2.0, 3.0])).embed(["a", "b"], "m")


@pytest.mark.parametrize(
    ("lengths", "pieces"),
    [([], []), ([1], [1]), ([1] * 7, [3, 3, 1]), ([9, 9, 1, 30, 1], [1, 2, 1, 1]), ([5, 5, 5], [2, 1])],
)
def test_texts_are_cut_into_calls(lengths: list[int], pieces: list[int]):
    texts = ["x" * length for length in lengths]
    cut = split_batches(texts, max_texts=3, max_chars=10)
    assert (pieces, texts) == ([len(piece) for piece in cut], [text for piece in cut for text in piece])


@pytest.mark.parametrize(
    ("model", "query", "passage"),
    [
        ("all-MiniLM-L6-v2", "", ""),
        ("bge-m3", "", ""),
        ("text-embedding-3-small", "", ""),
        ("intfloat/multilingual-e5-small", "query: ", "passage: "),
        ("intfloat/e5-small-v2", "query: ", "passage: "),
        ("BAAI/bge-small-en-v1.5", "Represent this sentence for searching relevant passages: ", ""),
        ("snowflake-arctic-embed2:568m", "query: ", ""),
        ("embeddinggemma:300m", "task: search result | query: ", "title: none | text: "),
    ],
)
def test_queries_and_passages_begin_as_the_models_card_says(model: str, query: str, passage: str):
    assert (query, passage) == (purpose_prefix(model, "query"), purpose_prefix(model, "passage"))


def test_instructed_models_are_given_an_instruction_and_not_their_namesakes_prefix():
    assert purpose_prefix("intfloat/multilingual-e5-large-instruct", "query").startswith("Instruct: ")
    assert "" == purpose_prefix("intfloat/multilingual-e5-large-instruct", "passage")
    assert purpose_prefix("qwen3-embedding:0.6b", "query").endswith("\nQuery:")


def test_only_some_models_vectors_may_be_shortened():
    assert [True, True, False] == [
        can_truncate(name) for name in ("text-embedding-3-large", "nomic-embed-text-v1.5", "m")
    ]
