"""What the graphs remember from node to node. Plain JSON values only: it is stored after every node."""

import operator
from typing import Annotated, Any, TypedDict

import msgspec

from graphs.providers.contract import Message


class AgentState(TypedDict, total=False):
    """One conversation turn.

    `intents` are {agent, text}, done one after the other; `at` is the one under way, done by `agent` with `graph`.
    `routed` says why a router chose them. `messages` is what its model sees, `calls` the tool calls that wait, `step` counts
    the model's turns, `rounds` the plans. `sources` are the passages that tools found, each with its number. `trail` is
    what was told so far, in order ([type, fields]); a run that goes on elsewhere tells it again. `untrusted`: text from
    outside was read. `acted`: a tool changed something. `asked_tools`: any tool was called.
    """

    agent: str
    graph: str
    intents: list[dict[str, str]]
    at: int
    routed: str
    messages: list[dict[str, Any]]
    step: int
    rounds: int
    calls: list[dict[str, Any]]
    plan: list[dict[str, Any]]
    results: dict[str, Any]
    missing: str
    said: str
    data: Any
    client_calls: list[dict[str, Any]]
    finish: str
    model: str
    input_tokens: int
    output_tokens: int
    estimated: bool
    untrusted: bool
    acted: bool
    asked_tools: bool
    sources: list[dict[str, Any]]
    trail: Annotated[list[Any], operator.add]


def store(messages: list[Message]) -> list[dict[str, Any]]:
    """Return messages as plain values."""
    return msgspec.to_builtins(messages)


def restore(messages: list[dict[str, Any]]) -> list[Message]:
    """Return messages as they were before `store`."""
    return msgspec.convert(messages, list[Message])
