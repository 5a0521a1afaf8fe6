"""The fallback chain: when a model fails before its first token, the next one answers.

    candidate 1 ── fails, or its breaker is open ──▶ candidate 2 ── fails ──▶ … ── all failed ──▶ the error, naming all of them
        └── first token ──▶ from here on no fallback: a later error is raised

Not for: which models a chain has (rows), or retrying the same model (another attempt of the job).
"""

import copy
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import msgspec
import structlog

from graphs.providers.breakers import Breakers
from graphs.providers.calls.metrics import measured_call
from graphs.providers.calls.span import noting
from graphs.providers.contract import (
    ChoiceDelta,
    Delta,
    ExtraDelta,
    ModelRequest,
    Provider,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from graphs.providers.errors import (
    ModelUnknown,
    ProviderAddressRefused,
    ProviderCircuitOpen,
    ProviderIsHeadrace,
    ProviderQuotaExhausted,
    ProviderRejectedKey,
    ProviderUnknown,
    ProviderWrongBaseUrl,
    ToolsUnsupported,
)
from schema.errors import ProviderError

log = structlog.get_logger(__name__)

_WORTH_ANOTHER_MODEL = (
    ModelUnknown,
    ProviderAddressRefused,
    ProviderWrongBaseUrl,
    ProviderIsHeadrace,
    ProviderRejectedKey,
    ProviderQuotaExhausted,
    ProviderUnknown,
    ToolsUnsupported,
)
_TOKEN_DELTAS = (TextDelta, ReasoningDelta, RefusalDelta, ToolCallDelta, ExtraDelta, ChoiceDelta)


@dataclass(frozen=True, slots=True)
class ChainModel:
    """One model of a chain: `model` is the vendor's own name, `full_name` is `provider/model`, `key` names its breaker.
    `own_key`: it is called with the tenant's own provider key, so the operator pays nothing for it."""

    provider: Provider
    model: str
    full_name: str
    key: str
    own_key: bool = False


def ignore_switch(full_name_from: str, code: str, full_name_to: str) -> None:
    """The default for `on_switch`."""


def is_worth_another_model(error: ProviderError) -> bool:
    """Whether another model may succeed: not with invalid input or refused content."""
    return error.retryable or isinstance(error, _WORTH_ANOTHER_MODEL)


async def stream_with_fallback(
    candidates: Sequence[ChainModel],
    request: ModelRequest,
    breakers: Breakers,
    on_switch: Callable[[str, str, str], None] = ignore_switch,
) -> AsyncGenerator[Delta, None]:
    """As `Provider.stream`, by the first candidate that produces a token; each candidate's model replaces `request.model`.

    `on_switch(from, code, to)` is called with the error's code before the next candidate is tried. When all fail, the last
    retryable error is raised, or else the last one, with the full names of all that were tried; an error that would occur
    everywhere is raised at once. Closing or cancelling closes the vendor's socket at once. Raises ValueError for none.
    """
    if not candidates:
        raise ValueError("a chain needs at least one candidate")
    errors: list[ProviderError] = []
    for candidate, following in zip(candidates, (*candidates[1:], None), strict=True):
        has_started = False
        try:
            async with aclosing(_stream(candidate, request, breakers)) as stream:
                async for delta in stream:
                    has_started = has_started or isinstance(delta, _TOKEN_DELTAS)
                    yield delta
            return
        except ProviderError as error:
            if has_started or not is_worth_another_model(error):
                raise
            errors.append(error)
        if following is not None:
            log.warning("model_switched", model=candidate.full_name, code=errors[-1].code, to=following.full_name)
            on_switch(candidate.full_name, errors[-1].code, following.full_name)
    raise _error_to_raise(errors, [candidate.full_name for candidate in candidates])


async def _stream(candidate: ChainModel, request: ModelRequest, breakers: Breakers) -> AsyncGenerator[Delta, None]:
    """Stream one candidate under its breaker. Raises ProviderCircuitOpen while that is open."""
    call = breakers.acquire(candidate.key)
    if call is None:
        wait_s = max(1.0, breakers.retry_after_s(candidate.key))
        raise ProviderCircuitOpen(
            f"{candidate.provider.name} failed too often and is paused; retry in {wait_s:.0f} s.", wait_s
        )
    try:
        request = msgspec.structs.replace(request, model=candidate.model)
        with measured_call(candidate.provider.name, request, own_key=candidate.own_key) as span:
            async with aclosing(noting(span, candidate.provider.stream(request))) as deltas:
                async for delta in deltas:
                    if isinstance(delta, _TOKEN_DELTAS):
                        call.first_token()
                    yield delta
        call.succeeded()
    except ProviderError as error:
        call.failed(error)
        raise
    finally:
        call.released()


def _error_to_raise(errors: list[ProviderError], tried: list[str]) -> ProviderError:
    """Return the error to raise: a retryable one if possible, so that the job is retried if that may help."""
    error = next((error for error in reversed(errors) if error.retryable), errors[-1])
    if len(tried) == 1:
        return error
    combined = copy.copy(error)
    combined.message = f"{error.message} No model of the chain answered: {', '.join(tried)}."
    combined.args = (combined.message,)
    return combined


__all__ = ["Breakers", "ChainModel", "is_worth_another_model", "stream_with_fallback"]
