"""The fallback chain: when a model fails before its first token, the next one answers (G12).

    choice 1 ── fails, or its breaker is open ──▶ choice 2 ── fails ──▶ … ── all failed ──▶ the error, naming all of them
        └── first token ──▶ from here on its answer stands: a later error is raised

Not for: which models a chain has (rows), or trying the same model again (another attempt of the job).
"""

import copy
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import msgspec
import structlog

from graphs.providers.breakers import Breakers, Call
from graphs.providers.contract import (
    Delta,
    ModelRequest,
    Provider,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from graphs.providers.errors import (
    ModelUnknown,
    ProviderAddressRefused,
    ProviderCircuitOpen,
    ProviderElsewhere,
    ProviderIsHeadrace,
    ProviderQuotaExhausted,
    ProviderRejectedKey,
    ProviderUnknown,
    ToolsUnsupported,
)
from schema.errors import ProviderError

log = structlog.get_logger(__name__)

_PASS_ELSEWHERE = (
    ModelUnknown,
    ProviderAddressRefused,
    ProviderElsewhere,
    ProviderIsHeadrace,
    ProviderRejectedKey,
    ProviderQuotaExhausted,
    ProviderUnknown,
    ToolsUnsupported,
)
_TOKENS = (TextDelta, ReasoningDelta, ToolCallDelta)


@dataclass(frozen=True, slots=True)
class Choice:
    """One model of a chain: `model` is the vendor's own name, `full_name` is `provider/model`, `key` its breaker's."""

    provider: Provider
    model: str
    full_name: str
    key: str


def ignore_event(full_name_from: str, code: str, full_name_to: str) -> None:
    """Stands where nobody wants to know of a switch."""


def may_pass_elsewhere(error: ProviderError) -> bool:
    """Whether another provider may do better: never for input that is bad anywhere, or content that was refused."""
    return error.retryable or isinstance(error, _PASS_ELSEWHERE)


async def stream_with_fallback(
    choices: Sequence[Choice],
    request: ModelRequest,
    breakers: Breakers,
    on_switch: Callable[[str, str, str], None] = ignore_event,
) -> AsyncGenerator[Delta, None]:
    """As `Provider.stream`, by the first choice that gets to a token; `request.model` is replaced by each choice's own.

    `on_switch(from, code, to)` is called before the next choice is, with the code of the error. When all fail, the last
    error that may pass is raised, or else the last one, with the full names of all that were tried; an error that can't
    pass elsewhere is raised at once. Closing or cancelling closes the vendor's socket at once. Raises ValueError without
    choices.
    """
    if not choices:
        raise ValueError("a chain needs at least one choice")
    errors: list[ProviderError] = []
    for choice, following in zip(choices, (*choices[1:], None), strict=True):
        begun = False
        try:
            async with aclosing(_stream(choice, request, breakers)) as stream:
                async for delta in stream:
                    begun = begun or isinstance(delta, _TOKENS)
                    yield delta
            return
        except ProviderError as error:
            if begun or not may_pass_elsewhere(error):
                raise
            errors.append(error)
        if following is not None:
            log.warning("model_switched", model=choice.full_name, code=errors[-1].code, to=following.full_name)
            on_switch(choice.full_name, errors[-1].code, following.full_name)
    raise _told(errors, [choice.full_name for choice in choices])


async def _stream(choice: Choice, request: ModelRequest, breakers: Breakers) -> AsyncGenerator[Delta, None]:
    """One choice under its breaker. Raises ProviderResting while that is open."""
    call = breakers.enter(choice.key)
    if call is None:
        wait_s = max(1.0, breakers.opens_in_s(choice.key))
        raise ProviderCircuitOpen(
            f"{choice.provider.name} failed too often; it is left alone for {wait_s:.0f} s.", wait_s
        )
    try:
        async with aclosing(choice.provider.stream(msgspec.structs.replace(request, model=choice.model))) as stream:
            async for delta in stream:
                if isinstance(delta, _TOKENS):
                    call.answering()
                yield delta
        call.succeeded()
    except ProviderError as error:
        call.failed(error)
        raise
    finally:
        call.left()


def _told(errors: list[ProviderError], tried: list[str]) -> ProviderError:
    """The error to raise. One that may pass goes before the others, so that the job is tried again if that may help."""
    error = next((one for one in reversed(errors) if one.retryable), errors[-1])
    if len(tried) == 1:
        return error
    told = copy.copy(error)
    told.message = f"{error.message} No model of the chain answered: {', '.join(tried)}."
    told.args = (told.message,)
    return told


__all__ = ["Breakers", "Call", "Choice", "may_pass_elsewhere", "stream_with_fallback"]
