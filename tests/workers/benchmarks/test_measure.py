"""One call, measured by a clock that the provider moves: figures are exactly what the provider did."""

from collections.abc import AsyncGenerator, Sequence

import pytest

from graphs.providers.contract import (
    Delta,
    Finished,
    Message,
    ModelInfo,
    ModelRequest,
    Progress,
    ReasoningDelta,
    TextDelta,
    Usage,
)
from graphs.providers.errors import ProviderOverloaded, ProviderRejectedKey
from workers.benchmarks.measure import measure

REQUEST = ModelRequest(model="m", messages=(Message.of("user", "hi"),))


class Clock:
    """Seconds that pass only when somebody says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class ScriptedProvider:
    """Says each delta after so many seconds; an error is raised."""

    name = "scripted"

    def __init__(self, clock: Clock, steps: Sequence[tuple[float, Delta | Exception]]) -> None:
        self._clock, self._steps = clock, steps

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        for wait_s, step in self._steps:
            self._clock.now += wait_s
            if isinstance(step, Exception):
                raise step
            yield step

    async def list_models(self) -> list[ModelInfo]:
        return []

    async def check_key(self) -> None:
        return


def finished(tokens: int) -> Finished:
    return Finished("stop", Usage(3, tokens))


async def test_the_first_token_the_speed_and_the_whole_are_measured() -> None:
    clock = Clock()
    steps = [(0.25, TextDelta("word")), *[(0.02, TextDelta("word"))] * 9, (0.05, finished(10))]
    measured = await measure(ScriptedProvider(clock, steps), REQUEST, clock=clock)
    assert pytest.approx(250) == measured.first_token_ms
    assert pytest.approx(50) == measured.tokens_per_second
    assert pytest.approx(480) == measured.total_ms
    assert ("word" * 10, 3, 10, None) == (measured.text, measured.input_tokens, measured.output_tokens, measured.error)


async def test_tokens_that_came_with_the_first_are_not_counted_as_speed() -> None:
    clock = Clock()
    steps = [(0.5, TextDelta("word" * 5)), (0.1, TextDelta("word" * 5)), (0.0, finished(10))]
    measured = await measure(ScriptedProvider(clock, steps), REQUEST, clock=clock)
    assert pytest.approx(50) == measured.tokens_per_second


async def test_an_answer_that_came_at_once_has_no_speed() -> None:
    clock = Clock()
    measured = await measure(
        ScriptedProvider(clock, [(0.5, TextDelta("all")), (0.0, finished(1))]), REQUEST, clock=clock
    )
    assert (None, pytest.approx(500)) == (measured.tokens_per_second, measured.first_token_ms)


async def test_reasoning_counts_as_tokens() -> None:
    clock = Clock()
    steps = [(0.1, ReasoningDelta("word")), (0.1, TextDelta("word")), (0.0, finished(2))]
    measured = await measure(ScriptedProvider(clock, steps), REQUEST, clock=clock)
    assert (pytest.approx(100), pytest.approx(10)) == (measured.first_token_ms, measured.tokens_per_second)


async def test_a_pull_is_told() -> None:
    clock, told = Clock(), []
    steps = [(1.0, Progress("pulling", 1, 2)), (0.1, TextDelta("a")), (0.0, finished(1))]
    await measure(ScriptedProvider(clock, steps), REQUEST, lambda *said: told.append(said), clock=clock)
    assert [("pulling", 1, 2)] == told


@pytest.mark.parametrize(
    ("error", "code", "permanent"),
    [
        (ProviderOverloaded("too much"), "provider_overloaded", False),
        (ProviderRejectedKey("no key"), "provider_rejected_key", True),
    ],
)
async def test_an_error_is_a_measurement(error: Exception, code: str, permanent: bool) -> None:
    clock = Clock()
    measured = await measure(ScriptedProvider(clock, [(0.1, TextDelta("a")), (0.3, error)]), REQUEST, clock=clock)
    assert {"code": code, "message": str(error)} == measured.error
    assert (permanent, None, pytest.approx(400)) == (measured.permanent, measured.first_token_ms, measured.total_ms)


async def test_counts_that_no_model_has_are_cut() -> None:
    clock = Clock()
    steps = [(0.0, TextDelta("a")), (0.0, Finished("stop", Usage(-5, 2**70)))]
    measured = await measure(ScriptedProvider(clock, steps), REQUEST, clock=clock)
    assert (0, 2**53) == (measured.input_tokens, measured.output_tokens)
