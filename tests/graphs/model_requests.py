"""Shortcuts for calling a provider in tests."""

from contextlib import aclosing
from dataclasses import replace
from typing import Any

from graphs.providers.contract import Delta, Message, ModelRequest, Provider, ProviderTimeouts, TextDelta

PATIENT = ProviderTimeouts(connect_s=30.0, end_mark_s=0.1)
"""For what isn't silent: a machine may be busy. Where silence is tested, one limit is short, and only that one."""

SHORT_SILENCES = {
    "stall-first": replace(PATIENT, first_token_s=0.25),
    "slow-connect": replace(PATIENT, first_token_s=0.25),
    "stall-after-3": replace(PATIENT, between_tokens_s=1.0),
    "stall-after-10": replace(PATIENT, between_tokens_s=1.0),
}
"""How long a vendor may be silent, by the behaviour that is silent."""


def ask(model: str, said: str = "which way does water flow", **fields: Any) -> ModelRequest:
    """Return a request with one user message."""
    return ModelRequest(model=model, messages=(Message.of("user", said),), **fields)


async def collect(provider: Provider, request: ModelRequest, into: list[Delta] | None = None) -> list[Delta]:
    """Return all deltas; `into` also gets those before an error."""
    deltas = [] if into is None else into
    async with aclosing(provider.stream(request)) as stream:
        async for delta in stream:
            deltas.append(delta)
    return deltas


def text_of(deltas: list[Delta]) -> str:
    """Return the text of the deltas."""
    return "".join(d.text for d in deltas if isinstance(d, TextDelta))
