"""Texts of many callers in few calls of the embedder: order, fairness, failures, callers that leave."""

import asyncio
from collections.abc import Sequence
from typing import ClassVar

import pytest

from graphs.embeddings.batching import Batcher
from graphs.embeddings.hosted import HostedEmbedder
from graphs.embeddings.registry import OpenEmbedder
from graphs.providers.errors import ProviderOverloaded, ProviderRefused
from tests.waiting import PATIENCE_S


class RecordingEngine:
    """An embedder that notes its calls, and answers each when it is allowed to. A text that says `bad` fails its call."""

    def __init__(self, *, held: bool = False) -> None:
        self.calls: list[list[str]] = []
        self.running = self.most = 0
        self.began = asyncio.Event()
        self.free = asyncio.Event()
        if not held:
            self.free.set()

    async def embed(self, texts: Sequence[str], model: str) -> list[list[float]]:
        self.calls.append(list(texts))
        self.running += 1
        self.most = max(self.most, self.running)
        self.began.set()
        try:
            await asyncio.sleep(0)  # as a call would, it gives others their turn
            await self.free.wait()
        finally:
            self.running -= 1
        if "bad" in texts:
            raise ProviderRefused("This text is refused.")
        return [[float(text)] if text.isdigit() else [-1.0] for text in texts]


def batcher(engine: RecordingEngine, **bounds: int) -> Batcher:
    return Batcher(OpenEmbedder(engine, "test", "m"), **{"max_texts": 4, **bounds})


def numbers(begin: int, count: int) -> list[str]:
    return [str(number) for number in range(begin, begin + count)]


async def test_vectors_come_back_in_the_order_of_their_texts():
    engine = RecordingEngine()
    wanted = [numbers(100 * caller, 11) for caller in range(6)]
    one = batcher(engine)
    found = await asyncio.gather(*(one.embed(texts, lane=str(i % 4)) for i, texts in enumerate(wanted)))
    assert [[[float(text)] for text in texts] for texts in wanted] == found
    assert 17 == len(engine.calls)  # 66 texts, four at once: callers that came together share calls


async def test_no_texts_are_no_call():
    engine = RecordingEngine()
    assert [] == await batcher(engine).embed([])
    assert [] == engine.calls


async def test_what_comes_while_a_call_runs_goes_into_the_next():
    engine = RecordingEngine(held=True)
    one = batcher(engine)
    first = asyncio.create_task(one.embed(["1"]))
    await engine.began.wait()
    others = [asyncio.create_task(one.embed([str(number)], lane=str(number))) for number in (2, 3, 4)]
    await asyncio.sleep(0)  # lets them come
    engine.free.set()
    await asyncio.gather(first, *others)
    assert [["1"], ["2", "3", "4"]] == engine.calls


async def test_a_question_waits_for_one_call_of_a_caller_with_very_many_texts():
    engine = RecordingEngine(held=True)
    one = batcher(engine)
    many = asyncio.create_task(one.embed(numbers(1000, 10_000), lane="flood"))
    await engine.began.wait()
    question = asyncio.create_task(one.embed(["7"], lane="question"))
    await asyncio.sleep(0)  # lets it come
    engine.free.set()
    assert [[7.0]] == await question
    assert "7" in engine.calls[1]
    assert len(engine.calls) < 5
    await one.aclose()
    with pytest.raises(asyncio.CancelledError):
        await many


async def test_lanes_share_alike_whatever_they_bring():
    engine = RecordingEngine(held=True)
    one = batcher(engine)
    lanes = {"a": numbers(100, 9), "b": numbers(200, 3), "c": numbers(300, 3)}
    tasks = [asyncio.create_task(one.embed(texts, lane=lane)) for lane, texts in lanes.items()]
    await engine.began.wait()
    engine.free.set()
    await asyncio.gather(*tasks)
    turns = [{"100", "200", "300", "101"}, {"201", "301", "102", "202"}, {"302", "103", "104", "105"}]
    assert turns == [set(call) for call in engine.calls[:3]]
    assert ["106", "107", "108"] == engine.calls[-1]


async def test_a_bad_text_fails_its_caller_alone():
    engine = RecordingEngine()
    one = batcher(engine)
    found = await asyncio.gather(
        one.embed(["1", "2"], lane="a"),
        one.embed(["bad"], lane="b"),
        one.embed(["3"], lane="c"),
        return_exceptions=True,
    )
    assert ([[1.0], [2.0]], [[3.0]]) == (found[0], found[2])
    assert isinstance(found[1], ProviderRefused)
    assert 1 == sum(call == ["bad"] for call in engine.calls)


async def test_the_waiting_texts_of_a_caller_that_failed_are_dropped():
    engine = RecordingEngine()
    one = batcher(engine)
    with pytest.raises(ProviderRefused):
        await one.embed(["bad", *(f"{number:03}" for number in range(50))])
    assert [[5.0]] == await one.embed(["5"])
    assert 2 == len(engine.calls)


async def test_a_caller_that_leaves_takes_its_waiting_texts_with_it():
    engine = RecordingEngine(held=True)
    one = batcher(engine)
    leaving = asyncio.create_task(one.embed(numbers(0, 50), lane="a"))
    await engine.began.wait()
    staying = asyncio.create_task(one.embed(["99"], lane="a"))
    await asyncio.sleep(0)  # lets it come
    leaving.cancel()
    engine.free.set()
    assert [[99.0]] == await staying
    assert [numbers(0, 4), ["99"]] == engine.calls


async def test_a_provider_gets_several_calls_at_once_and_never_more():
    engine = RecordingEngine(held=True)
    one = batcher(engine, concurrency=3)
    tasks = [asyncio.create_task(one.embed(numbers(0, 40), lane=str(lane))) for lane in range(4)]
    await engine.began.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert 3 == engine.running
    engine.free.set()
    await asyncio.gather(*tasks)
    assert 3 == engine.most
    assert 40 == len(engine.calls)


async def test_a_call_holds_no_more_characters_than_it_may_but_any_single_text():
    engine = RecordingEngine()
    one = batcher(engine, max_chars=10)
    await asyncio.gather(one.embed(["1" * 6, "2" * 6, "3", "4" * 30, "5"]))
    assert [["3", "5", "1" * 6], ["2" * 6], ["4" * 30]] == engine.calls


async def test_it_works_on_after_everybody_has_left_and_come_again():
    engine = RecordingEngine()
    one = batcher(engine)
    for number in range(5):
        assert [[float(number)]] == await one.embed([str(number)])
    assert 5 == len(engine.calls)


async def test_an_engine_that_answers_too_few_vectors_fails_and_does_not_hang():
    class Short(RecordingEngine):
        async def embed(self, texts: Sequence[str], model: str) -> list[list[float]]:
            return []

    with pytest.raises(RuntimeError):
        await asyncio.wait_for(batcher(Short()).embed(["1"]), PATIENCE_S)


async def test_each_text_is_prepared_for_its_own_purpose():
    engine = RecordingEngine()
    one = Batcher(OpenEmbedder(engine, "test", "intfloat/e5-small-v2"))
    await asyncio.gather(one.embed(["who"], purpose="query"), one.embed(["he"], purpose="passage"))
    assert [["query: who", "passage: he"]] == engine.calls


async def test_an_error_of_a_shared_call_that_passes_reaches_nobody():
    class Once(RecordingEngine):
        async def embed(self, texts: Sequence[str], model: str) -> list[list[float]]:
            found = await super().embed(texts, model)
            if len(self.calls) == 1:
                raise ProviderOverloaded("Once.")
            return found

    one = batcher(Once())
    assert [[[1.0]], [[2.0]]] == await asyncio.gather(one.embed(["1"], lane="a"), one.embed(["2"], lane="b"))


async def test_a_question_does_not_share_a_local_call_with_chunks_and_a_hosted_one_it_does():
    texts = {"a": "1" * 1000, "b": "2" * 30, "c": "3" * 20, "d": "4" * 900}
    for hosted, calls in ((False, [["a"], ["b", "c"], ["d"]]), (True, [["a", "b", "c", "d"]])):
        engine = RecordingEngine()
        one = Batcher(OpenEmbedder(engine, "test", "m", hosted=hosted))
        await asyncio.gather(*(one.embed([text], lane=lane) for lane, text in texts.items()))
        assert [[texts[lane] for lane in call] for call in calls] == engine.calls


async def test_a_vendor_that_must_know_the_purpose_gets_a_call_for_each():
    class Purposeful(RecordingEngine):
        purposes: ClassVar[list[str]] = []

        async def embed_for(self, texts: Sequence[str], model: str, purpose: str) -> list[list[float]]:
            self.purposes.append(purpose)
            return await self.embed(texts, model)

    engine = Purposeful()
    one = Batcher(OpenEmbedder(HostedEmbedder("test", engine), "test", "m", hosted=True), concurrency=1)
    wanted = (("1", "query"), ("2", "passage"), ("3", "passage"), ("4", "query"))
    vectors = await asyncio.gather(*(one.embed([text], lane=text, purpose=purpose) for text, purpose in wanted))

    assert [[[1.0]]] * 4 == vectors
    assert [("query", ["1"]), ("passage", ["2", "3"]), ("query", ["4"])] == list(
        zip(engine.purposes, engine.calls, strict=True)
    )
