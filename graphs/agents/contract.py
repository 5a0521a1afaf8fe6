"""What a run of an agent is given. Everything comes from above: rows, keys and stores are the worker's business."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import msgspec

from graphs.providers.breakers import Breakers
from graphs.providers.contract import Message, ModelRequest
from graphs.providers.fallback import Choice
from graphs.routing.contract import Context, Route
from schema.events import Event
from tools.contract import Tool, ToolContext

GraphName = Literal["auto", "chat", "react", "plan_execute", "supervisor"]

PLAIN = "chat"
"""The name of the agent that answers when no agent does: the model alone."""


@dataclass(frozen=True, kw_only=True)
class AgentSpec:
    """An agent as its row says. `tools` are names, `models` full names in the order in which they are tried, none is the
    job's model; `few_shots` are (question, approved answer)."""

    name: str
    description: str = ""
    prompt: str = ""
    graph: GraphName = "auto"
    tools: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    few_shots: tuple[tuple[str, str], ...] = ()
    output_format: str | None = None
    output_schema: dict[str, Any] | None = None
    renderer: dict[str, Any] | None = None
    max_steps: int = 5


class CallResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a tool call brought: `text` for the model; `code` says why it failed."""

    ok: bool
    text: str
    data: Any = None
    renderer: str | None = None
    code: str | None = None


class Ledger(Protocol):
    """The calls of a job, each done once. A store that is away raises, and the attempt ends."""

    async def begin(self, call_id: str, tool: str, *, side_effects: bool) -> CallResult | None:
        """Note that a call begins; return its result instead if it has ended before. A call with side effects that had begun
        and not ended has a result too: that nobody knows."""
        ...

    async def end(self, call_id: str, tool: str, result: CallResult) -> None:
        """Keep what a call brought."""
        ...


@dataclass(kw_only=True)
class AgentRun:
    """One job's run. `history` is the conversation before the question, trimmed; `chain` gives the models of an agent;
    `route` decides among `agents`; `confirmed` are tools that the user's own message confirms."""

    agents: Mapping[str, AgentSpec]
    tools: Mapping[str, Tool]
    question: Message
    history: Sequence[Message]
    request: ModelRequest
    chain: Callable[[AgentSpec], Awaitable[Sequence[Choice]]]
    route: Callable[[str, Context], Awaitable[Route]]
    ledger: Ledger
    context: Callable[[str], ToolContext]
    """By the id of a call."""
    emit: Callable[[Event], None]
    breakers: Breakers
    persona: str = ""
    summary: str = ""
    memories: Sequence[str] = ()
    last_agent: str | None = None
    offered: int = 5
    priorities: Mapping[str, int] = field(default_factory=dict)
    client_tools: tuple[dict[str, Any], ...] = ()
    continued: Sequence[Message] = ()
    """What followed the question: calls of the client's own tools, and what those brought."""
    sources: Sequence[dict[str, Any]] | None = None
    """Passages that were looked up for the question, numbered; empty: nothing fits; None: nobody looked."""
    plain: AgentSpec = field(default_factory=lambda: AgentSpec(name=PLAIN, graph="chat"))

    def agent(self, name: str) -> AgentSpec:
        """Return an agent of the run, the plain one for a name that is none's."""
        return self.agents.get(name, self.plain)

    def offer(self, agent: AgentSpec) -> list[Tool]:
        """Return the tools that `agent` is offered: its own that there are, those of the highest priority."""
        own = [self.tools[name] for name in agent.tools if name in self.tools]
        return sorted(own, key=lambda tool: -self.priorities.get(tool.spec.name, 100))[: self.offered]
