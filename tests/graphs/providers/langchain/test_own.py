"""Classes of LangChain that somebody wrote for themselves: they answer, and what is wrong in one is said, and only its own."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from graphs.providers.contract import Finished, ToolCallDelta
from graphs.providers.errors import (
    ProviderInvalidResponse,
    ProviderOverloaded,
    ProviderRefused,
    ProviderUnknown,
    ProviderUnreachable,
)
from graphs.providers.langchain.listing import LangChainModel
from graphs.providers.langchain.process import ModelProcess
from graphs.providers.langchain.provider import LangChain
from tests.graphs.model_requests import PATIENT, ask, collect, text_of
from tests.graphs.providers.langchain.test_models import TOOL
from tools.langchain.child import ClassCall

OWN = "tests.graphs.providers.langchain.own_models"


@pytest.fixture(scope="module")
async def process() -> AsyncGenerator[ModelProcess, None]:
    process = ModelProcess()
    yield process
    await process.close()


def of(process: ModelProcess, kind: str, **arguments: Any) -> LangChain:
    listed = LangChainModel("own", ClassCall(f"{OWN}:{kind}", arguments))
    return LangChain({"own": listed}, timeouts=PATIENT, process=process)


@pytest.mark.parametrize(
    "kind",
    ["Own", "Blocks", "ByText", "Async", "StreamsInAThread", "StreamsByRole", "StreamsMessages", "Streams"],
)
async def test_a_class_answers_whichever_way_it_was_written(process: ModelProcess, kind: str):
    deltas = await collect(of(process, kind), ask("own"))

    assert "said whole" == text_of(deltas)
    assert isinstance(deltas[-1], Finished)
    assert "stop" == deltas[-1].reason


async def test_a_class_that_streams_nothing_calls_tools_and_counts(process: ModelProcess):
    deltas = await collect(of(process, "Calls"), ask("own", tools=(TOOL,)))
    miswritten = await collect(of(process, "MiswritesCalls"), ask("own", tools=(TOOL,)))

    said = [one for one in deltas if isinstance(one, ToolCallDelta)]
    assert [("c1", "look", '{"z": "dưới"}')] == [(one.id, one.name, one.arguments) for one in said]
    assert isinstance(deltas[-1], Finished)
    assert ("tool_calls", 3, 2) == (deltas[-1].reason, deltas[-1].usage.input_tokens, deltas[-1].usage.output_tokens)
    assert "{not" in [one.arguments for one in miswritten if isinstance(one, ToolCallDelta)]


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        ("ValueError", ProviderRefused),
        ("RuntimeError", ProviderOverloaded),
        ("surrogate", ProviderRefused),
        ("OSError", ProviderUnreachable),
    ],
)
async def test_a_wrong_value_in_a_class_is_no_overload(process: ModelProcess, raised: str, kind: type):
    with pytest.raises(kind, match="langchain/own failed"):
        await collect(of(process, "Raises", error=raised), ask("own"))


@pytest.mark.parametrize("vector", ["nan", "infinite", ["a"], [None], 4, [[1]]])
async def test_an_embedder_that_returns_no_numbers_says_so_and_the_others_go_on(process: ModelProcess, vector: Any):
    broken = of(process, "Vectors", vector=vector)
    before = process._child

    async def embedded() -> None:
        with pytest.raises(ProviderInvalidResponse, match="langchain/own returned a vector that is"):
            await broken.embed(["a"], "own")

    answers, _ = await asyncio.gather(collect(of(process, "Own"), ask("own")), embedded())
    assert "said whole" == text_of(answers)
    assert before is process._child or before is None


async def test_vectors_of_numpy_are_vectors(process: ModelProcess):
    assert [[0.5, 1.0]] == await of(process, "Vectors", vector="numpy").embed(["a"], "own")
    assert [[1.0, 2.0]] == await of(process, "Vectors", vector=[1, 2]).embed_for(["a"], "own", "query")


async def test_an_odd_field_of_a_class_fails_its_own_call(process: ModelProcess):
    before = process._child

    with pytest.raises(ProviderInvalidResponse):
        await of(process, "Profiled").describe("own")
    with pytest.raises(ProviderUnknown, match="can't be made from its list: SystemExit: no licence"):
        await collect(of(process, "Leaves"), ask("own"))
    assert "said whole" == text_of(await collect(of(process, "Own"), ask("own")))
    assert before is process._child or before is None
