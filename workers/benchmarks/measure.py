"""Calls a model once and measures it. An error of the provider is a measurement, too."""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from graphs.providers.contract import (
    Finished,
    ModelRequest,
    Progress,
    Provider,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from schema.errors import ProviderError
from schema.events.base import ModelUsage
from schema.model_catalog.prices import long_prompt
from schema.queries.benchmarks.benchmarks import Iteration
from workers.benchmarks.plan import Step

CALL_TIMEOUT_S = 900.0
"""How long one call may take; a provider that falls silent is cut off much sooner."""
MAX_COUNT = 2**53
"""More tokens than any model has; what a vendor counted is stored up to here."""


@dataclass(frozen=True)
class Measured:
    """One call. `error` is why it failed, and then what was measured before is left out; `permanent` if calling again
    would fail in the same way."""

    started_at: datetime
    total_ms: float
    text: str = ""
    first_token_ms: float | None = None
    tokens_per_second: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False
    error: dict[str, Any] | None = None
    permanent: bool = False
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_1h_tokens: int = 0

    def usage(self, model: str, *, own_key: bool) -> ModelUsage:
        """Return what was used of the model that was called; with the tenant's `own_key` it costs nothing here."""
        return ModelUsage(
            model=model,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            own_key_input_tokens=self.input_tokens if own_key else 0,
            own_key_output_tokens=self.output_tokens if own_key else 0,
            cached_tokens=self.cached_tokens,
            cache_write_tokens=self.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens,
            cache_write_1h_tokens=self.cache_write_1h_tokens,
            prompt_tokens=long_prompt(self.input_tokens),
        )

    def as_iteration(self, step: Step, attempt: int, cost_nanos: int) -> Iteration:
        """Return the row of this call."""
        return Iteration(
            **step._asdict(),
            attempt=attempt,
            started_at=self.started_at,
            first_token_ms=self.first_token_ms,
            tokens_per_second=self.tokens_per_second,
            total_ms=self.total_ms,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            estimated=self.estimated,
            cost_nanos=cost_nanos,
            error=self.error,
        )


class Stopwatch:
    """The times of one call's tokens. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.began = clock()
        self._first: float | None = None
        self._last: float | None = None
        self._first_chars = self._chars = 0

    def token(self, chars: int) -> None:
        """Some characters have come."""
        now = self._clock()
        if self._first is None:
            self._first, self._first_chars = now, chars
        self._last = now
        self._chars += chars

    @property
    def total_ms(self) -> float:
        return 1000 * (self._clock() - self.began)

    @property
    def first_token_ms(self) -> float | None:
        return None if self._first is None else 1000 * (self._first - self.began)

    def tokens_per_second(self, tokens: int) -> float | None:
        """Return the speed between the first and the last token; None if all came at once. Vendors count tokens, but don't say
        which came together with the first: their part is that of their characters."""
        if self._first is None or self._last is None or self._last <= self._first or not self._chars:
            return None
        return tokens * (1 - self._first_chars / self._chars) / (self._last - self._first)


async def measure(
    provider: Provider,
    request: ModelRequest,
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Measured:
    """Call the model and return what was measured; `on_progress` hears of a model that is pulled first."""
    started_at, watch = datetime.now(UTC), Stopwatch(clock)
    texts: list[str] = []
    try:
        async with asyncio.timeout(CALL_TIMEOUT_S):
            usage = await _consume(provider, request, watch, texts, on_progress)
    except ProviderError as error:
        reason = {"code": error.code, "message": error.message}
        return Measured(started_at, watch.total_ms, error=reason, permanent=not error.retryable)
    except TimeoutError:
        reason = {"code": "provider_timeout", "message": f"The call took longer than {CALL_TIMEOUT_S:.0f} s."}
        return Measured(started_at, watch.total_ms, error=reason)
    total_ms, output_tokens = watch.total_ms, _count(usage.output_tokens)
    return Measured(
        started_at,
        total_ms,
        "".join(texts),
        watch.first_token_ms,
        watch.tokens_per_second(output_tokens),
        _count(usage.input_tokens),
        output_tokens,
        usage.estimated,
        cached_tokens=_count(usage.cached_tokens),
        cache_write_tokens=_count(usage.cache_write_tokens),
        reasoning_tokens=_count(usage.reasoning_tokens),
        cache_write_1h_tokens=_count(usage.cache_write_1h_tokens),
    )


async def _consume(
    provider: Provider,
    request: ModelRequest,
    watch: Stopwatch,
    texts: list[str],
    on_progress: Callable[[str, int, int], None],
) -> Usage:
    usage = Usage(0, 0, estimated=True)
    async with aclosing(provider.stream(request)) as deltas:
        async for delta in deltas:
            match delta:
                case TextDelta(text):
                    watch.token(len(text))
                    texts.append(text)
                case ReasoningDelta(text):
                    watch.token(len(text))
                case ToolCallDelta():
                    watch.token(len(delta.arguments))
                case Progress(text, done, total):
                    on_progress(text, done, total)
                case Finished(_, found):
                    usage = found
    return usage


def _count(tokens: int) -> int:
    return max(0, min(tokens, MAX_COUNT))
