"""What a benchmark is to measure, and in which order: the models take turns (A B A B), so that a machine that gets slower harms
all of them alike."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec


class BenchmarkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, complete, as it is stored: models as `provider/name`, and how they are called."""

    models: list[str]
    prompts: list[str]
    iterations: int
    concurrency: int = 1
    warmup: int = 0
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None


class Step(NamedTuple):
    """One call. `place` is unique in the benchmark; negative ones only warm up. `number` counts the model's own, from 1, and 0
    for those. `prompt` is an index."""

    place: int
    model: str
    number: int
    prompt: int


def warmup_steps(settings: BenchmarkSettings) -> list[Step]:
    """Return the calls that come first and are not part of the figures: each model's first call loads it."""
    rounds = [model for _ in range(settings.warmup) for model in settings.models]
    return [Step(place - len(rounds), model, 0, 0) for place, model in enumerate(rounds)]


def measured_steps(settings: BenchmarkSettings) -> Iterator[Step]:
    """Yield the calls to measure. With each number all models get the same prompt."""
    for number in range(settings.iterations):
        for turn, model in enumerate(settings.models):
            yield Step(number * len(settings.models) + turn, model, number + 1, number % len(settings.prompts))


def total_steps(settings: BenchmarkSettings) -> int:
    """Return how many calls are measured."""
    return settings.iterations * len(settings.models)
