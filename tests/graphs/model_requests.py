"""Shortcuts for calling a provider in tests."""

from contextlib import aclosing
from typing import Any

from graphs.providers.contract import Delta, Message, ModelRequest, Provider, ProviderTimeouts, TextDelta

QUICK = ProviderTimeouts(connect_s=0.5, first_token_s=0.25, between_tokens_s=0.25, pull_s=0.5, end_mark_s=0.1)

PATIENT = ProviderTimeouts(connect_s=30.0, end_mark_s=0.1)
"""For what isn't silent: a machine may be busy."""


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
