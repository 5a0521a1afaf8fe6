"""Texts that a model is to go on with, for every provider: in the vendor's own way, or as a message of the user.

A vendor that takes one prompt a call gets several one after the other, and their choices are numbered as OpenAI numbers them:
those of the first prompt first.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec

from graphs.providers.contract import (
    ChoiceDelta,
    Completer,
    Completing,
    Completion,
    Delta,
    Finished,
    Message,
    ModelInfo,
    ModelRequest,
    Progress,
    Provider,
    TextDelta,
    Usage,
)
from graphs.providers.windows import with_window


def how_completes(provider: object, model: str) -> Completing | None:
    """Return how a provider's model goes on with a text; None if it only answers messages."""
    return provider.completes(model) if isinstance(provider, Completer) else None


class AnyCompletion:
    """A `Provider` around another one that takes requests with a `completion`, whatever the other one can do."""

    def __init__(self, provider: Provider, window: int | None = None) -> None:
        self.name = provider.name
        self._provider, self._window = provider, window

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """See `Provider.stream`."""
        how = how_completes(self._provider, request.model)
        together = how is not None and how.lists
        called = self._provider.stream(request) if together else self._one_by_one(request, how)
        async with aclosing(called) as deltas:
            async for delta in deltas:
                yield delta

    async def list_models(self) -> list[ModelInfo]:
        """As the wrapped provider."""
        return await self._provider.list_models()

    async def check_key(self) -> None:
        """As the wrapped provider."""
        await self._provider.check_key()

    async def _one_by_one(self, request: ModelRequest, how: Completing | None) -> AsyncGenerator[Delta, None]:
        assert request.completion is not None
        prompts = request.completion.prompts
        each, ended = request.choices // len(prompts), list[Finished]()
        for number, prompt in enumerate(prompts):
            async with aclosing(self._call(request, prompt, how)) as deltas:
                async for delta in _echoed(deltas, prompt if _echoes(request, how) else "", each):
                    numbered = _numbered(delta, number * each)
                    if isinstance(delta, Finished):
                        ended.append(delta)
                    if numbered is not None:
                        yield numbered
        yield msgspec.structs.replace(ended[0], usage=_sum([one.usage for one in ended]))

    def _call(
        self, request: ModelRequest, prompt: str | list[int], how: Completing | None
    ) -> AsyncGenerator[Delta, None]:
        asked = request.completion
        assert asked is not None
        completion = None if how is None else Completion(prompt, asked.suffix, echo=asked.echo and how.echo)
        said = Message.of("user", prompt if isinstance(prompt, str) else "")
        one = msgspec.structs.replace(request, messages=(said,), completion=completion)
        return with_window(self._provider, self._window).stream(one)


def _echoes(request: ModelRequest, how: Completing | None) -> bool:
    """Whether the prompt is to be repeated here, because the vendor doesn't."""
    asked = request.completion
    return asked is not None and asked.echo and not (how is not None and how.echo)


async def _echoed(
    deltas: AsyncGenerator[Delta, None], prompt: str | list[int], choices: int
) -> AsyncGenerator[Delta, None]:
    """Yield the prompt as the beginning of each choice, once the vendor has begun to answer, and the deltas."""
    told = not (isinstance(prompt, str) and prompt)
    async for delta in deltas:
        if not told and not isinstance(delta, Progress):
            told = True
            yield TextDelta(str(prompt))
            for index in range(1, choices):
                yield ChoiceDelta(index, TextDelta(str(prompt)))
        yield delta


def _numbered(delta: Delta, first: int) -> Delta | None:
    """Return a delta of a prompt's answer with its place among all choices; None for the end of the first, which comes last."""
    match delta:
        case Progress():
            return delta
        case ChoiceDelta(index, inner):
            return ChoiceDelta(first + index, inner)
        case Finished() if first == 0:
            return None
        case _:
            return delta if first == 0 else ChoiceDelta(first, delta)


def _sum(usages: list[Usage]) -> Usage:
    names = (
        "input_tokens",
        "output_tokens",
        "cached_tokens",
        "cache_write_tokens",
        "reasoning_tokens",
        "cache_write_1h_tokens",
    )
    counts: dict[str, Any] = {name: sum(getattr(usage, name) for usage in usages) for name in names}
    return Usage(**counts, estimated=any(usage.estimated for usage in usages))
