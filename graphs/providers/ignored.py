"""Which options of a request have no effect, so that callers can be told: nothing that a client sends is dropped in silence.

`tests/graphs/providers/test_ignored_options.py` compares this with what is sent, option by option, for every protocol.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from graphs.providers.anthropic.model_facts import facts_by_name
from graphs.providers.anthropic.request_body import build_body
from graphs.providers.contract import ModelRequest
from graphs.providers.extras import OLLAMA_GENERATE, OPTION_MEMBERS, OWN_MEMBERS, ignored_extras, unread_members
from graphs.providers.langchain import listing as langchain
from graphs.providers.langchain.described import described_model
from graphs.providers.langchain.options import ignored_by

OFFLINE_TAKES = frozenset(
    {"max_tokens", "max_tokens_name", "stop", "tools", "tool_choice", "response_format", "completion", "extra", "n"}
)
"""Options that mean something to the model without a vendor."""

NOT_TAKEN = {"anthropic": frozenset({"seed", "presence_penalty", "frequency_penalty"})}
"""Options that a provider's own protocol has no place for."""

ONE_AFTER_ANOTHER = frozenset({"ollama", "google", "cohere"})
"""Providers that can't be told to call only one tool at a time."""

DEPENDS_ON_MODEL = ("temperature", "top_p", "reasoning_effort")
DEPENDS_ON_VALUE = ("top_k", "service_tier")
"""Options and extras that some of Anthropic's models take, and some not, or with some values only."""

KEPT_HERE = frozenset({"metadata"})
"""An extra that comes back with the job, whoever takes it besides."""


def ignored_options(model: str, options: Mapping[str, Any], *, by_responses: bool = False) -> list[str]:
    """Return the names of a request's options that the model `provider/name` has no place for, its extras among them, sorted.
    `by_responses`: it is called by OpenAI's Responses API. What is refused is not ignored."""
    provider, _, name = model.partition("/")
    extras = options.get("extra", {})
    if provider == langchain.NAME:
        described = described_model(name)
        return [] if described is None else sorted(ignored_by({*described.takes, *KEPT_HERE}, options))
    taken = OLLAMA_GENERATE if provider == "ollama" and "completion" in options else frozenset[str]()
    ignored = {*ignored_extras(provider, extras.keys() - taken - KEPT_HERE)}
    ignored |= NOT_TAKEN.get(provider, frozenset()) & options.keys()
    if provider == "offline":
        ignored |= options.keys() - OFFLINE_TAKES
    if provider in ONE_AFTER_ANOTHER and options.get("parallel_tool_calls") is False:
        ignored.add("parallel_tool_calls")
    if by_responses and "seed" in options:
        ignored.add("seed")
    if provider == "anthropic":
        ignored |= _dropped_by_anthropic(name, options, extras)
    return sorted(ignored | _inside(provider, options, ignored))


def _inside(provider: str, options: Mapping[str, Any], ignored: set[str]) -> set[str]:
    """Return what a provider with a protocol of its own doesn't take of options that are objects."""
    own = OWN_MEMBERS.get(provider)
    if own is None:
        return set()
    known = {**OPTION_MEMBERS, **own}
    given = known.keys() & options.keys() - ignored
    return {path for name in given for path in unread_members(options[name], known[name], name)}


def _dropped_by_anthropic(model: str, options: Mapping[str, Any], extras: Mapping[str, Any]) -> set[str]:
    """Return those options without which the same would be sent."""
    doubtful = [name for name in DEPENDS_ON_MODEL if name in options]
    doubtful_extras = [name for name in DEPENDS_ON_VALUE if name in extras]
    if not (doubtful or doubtful_extras):
        return set()
    given = {name: value for name, value in options.items() if name not in ("stop", "completion")}
    sent = _sent(model, given)
    without = {name: {key: value for key, value in given.items() if key != name} for name in doubtful}
    without |= {
        name: given | {"extra": {key: value for key, value in extras.items() if key != name}}
        for name in doubtful_extras
    }
    return {name for name, others in without.items() if _sent(model, others) == sent}


def _sent(model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    request = msgspec.convert({**options, "model": model, "messages": ()}, ModelRequest)
    return build_body(request, facts_by_name(model)).fields
