"""What the graphs remember from node to node. Plain JSON values only, since the state is stored (`checkpointer.py`)."""

import operator
from collections.abc import Mapping
from itertools import zip_longest
from typing import Annotated, Any, TypedDict

import msgspec

from graphs.data_marks import DataMark
from graphs.providers.contract import Message
from schema.model_catalog.prices import long_prompt

TOOL_NODES = frozenset({"use_tools", "act"})
"""The nodes that call tools. The ledger stores the state with their first call."""


class AgentState(TypedDict, total=False):
    """One conversation turn.

    `intents` are {agent, text}, handled one after the other; `at` is the index of the current one, handled by `agent` with
    `graph`. `routed` is the router's reason, `scores` what it thought of each. `messages` is what the model sees, `calls` are
    pending tool calls, `step` counts the model's turns, `rounds` the plans. `said` is the answer so far. `sources` are the
    numbered passages that tools found.
    `trail` has the events so far ([type, fields]), which a resumed run replays. `used` has the tokens of each model: in, out,
    those with the tenant's own key, cached, put into the cache, and of reasoning. `refusal`, `extra` and what follows are of
    the last reply (`Reply.answer`). `mark` is the code of the run's data marks: a resumed run keeps it, since its messages
    contain it. `untrusted`: text from outside was read.
    `missed` is the output format that the answer doesn't have, and why.
    `acted`: a tool may have changed something. `asked_tools`: a tool was called.
    """

    mark: str
    agent: str
    graph: str
    intents: list[dict[str, str]]
    at: int
    routed: str
    scores: list[tuple[str, float]]
    messages: list[dict[str, Any]]
    step: int
    rounds: int
    calls: list[dict[str, Any]]
    plan: list[dict[str, Any]]
    results: dict[str, Any]
    missing: str
    said: str
    data: Any
    missed: list[str]
    client_calls: list[dict[str, Any]]
    finish: str
    model: str
    input_tokens: int
    output_tokens: int
    own_key_input_tokens: int
    own_key_output_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cache_write_1h_tokens: int
    used: dict[str, list[int]]
    refusal: str
    extra: dict[str, Any]
    vendor: str
    resolved_model: str
    system_fingerprint: str
    service_tier: str
    estimated: bool
    untrusted: bool
    acted: bool
    asked_tools: bool
    sources: list[dict[str, Any]]
    trail: Annotated[list[Any], operator.add]


_PROMPT = "\n"
"""Stands between a model and the length of a prompt in the keys of `used`; no name has it."""


def used_key(model: str, prompt_tokens: int) -> str:
    """Return the key of a call in `used`: those with long prompts are kept apart, since they may cost more."""
    length = long_prompt(prompt_tokens)
    return f"{model}{_PROMPT}{length}" if length else model


def read_used_key(key: str) -> tuple[str, int]:
    """Return the model, and the length of the prompt, 0 for one that isn't long."""
    model, _, length = key.partition(_PROMPT)
    return model, int(length or 0)


def merge_used(one: Mapping[str, list[int]], other: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """Return the tokens of both, by their keys. What an older worker stored has fewer counts."""
    return {
        model: [a + b for a, b in zip_longest(one.get(model, ()), other.get(model, ()), fillvalue=0)]
        for model in {**one, **other}
    }


def data_mark(state: Mapping[str, Any]) -> DataMark:
    """Return the marks of a run, of an agent or of a pipeline."""
    return DataMark(state.get("mark", ""))


def dump_messages(messages: list[Message]) -> list[dict[str, Any]]:
    """Return messages as plain JSON values."""
    return msgspec.to_builtins(messages)


def load_messages(messages: list[dict[str, Any]]) -> list[Message]:
    """Return the messages that `dump_messages` was given."""
    return msgspec.convert(messages, list[Message])
