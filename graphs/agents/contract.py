"""What an agent's run is given. Rows, keys and stores are the worker's business and are passed in."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import msgspec

from graphs.agents.tool_offer import Likeness, choose_offered
from graphs.providers.breakers import Breakers
from graphs.providers.contract import Message, ModelRequest
from graphs.providers.fallback import ChainModel
from graphs.providers.settings import CHAT_AGENT
from graphs.routing.clarify import Choices
from graphs.routing.contract import Context, Route
from schema.events import Event
from tools.contract import Tool, ToolContext

GraphName = Literal["auto", "chat", "react", "plan_execute", "supervisor"]


@dataclass(frozen=True, kw_only=True)
class AgentSpec:
    """An agent as configured in its row. `tools` are names; `models` are full names in the order in which they are tried
    (empty: the job's model); `few_shots` are (question, approved answer)."""

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
    """The result of a tool call: `text` is for the model, `code` says why the call failed."""

    ok: bool
    text: str
    data: Any = None
    renderer: str | None = None
    code: str | None = None


class Ledger(Protocol):
    """The tool calls of a job, each made once. Raises when the store is unavailable, which ends the attempt."""

    async def begin(self, call_id: str, tool: str, *, side_effects: bool) -> CallResult | None:
        """Record that a call begins; if it has ended before, return its result instead. A call with side effects that began
        and never ended has a result too: outcome unknown."""
        ...

    async def end(self, call_id: str, tool: str, result: CallResult) -> None:
        """Record the result of a call."""
        ...


@dataclass(kw_only=True)
class AgentRun:
    """The run of one job. `history` is what is shown of the conversation before the question, `chain` returns an agent's
    models, `route` chooses among `agents`, `priorities` (100 if missing) and `likeness` rank tools when there are more than
    `max_tools`."""

    agents: Mapping[str, AgentSpec]
    tools: Mapping[str, Tool]
    question: Message
    history: Sequence[Message]
    request: ModelRequest
    chain: Callable[[AgentSpec], Awaitable[Sequence[ChainModel]]]
    route: Callable[[str, Context], Awaitable[Route]]
    ledger: Ledger
    context: Callable[[str], Awaitable[ToolContext]]
    """Returns the context of the call with this id. Raises Unavailable."""
    emit: Callable[[Event], None]
    breakers: Breakers
    persona: str = ""
    summary: str = ""
    memories: Sequence[str] = ()
    last_agent: str | None = None
    max_tools: int = 5
    priorities: Mapping[str, int] = field(default_factory=dict)
    client_tools: tuple[dict[str, Any], ...] = ()
    continued: Sequence[Message] = ()
    """Messages after the question: calls of the client's own tools, and their results."""
    sources: Sequence[dict[str, Any]] | None = None
    """Numbered passages that were retrieved for the question. Empty: none is relevant; None: no search was made."""
    nearest: Sequence[dict[str, Any]] = ()
    """Passages that are nearest to the question where none is relevant."""
    saw_no_images: Collection[str] = ()
    """Models that were asked about images and not shown them; it grows while the run runs."""
    routed: Route | None = None
    """What the router found, if it was asked before the graph was run."""
    chosen: Choices | None = None
    """What the model has chosen of late where the router was unsure."""
    likeness: Likeness = lambda text, others: [0.0] * len(others)
    _offered: dict[str, list[Tool]] = field(default_factory=dict, init=False, repr=False)
    chat_agent: AgentSpec = field(default_factory=lambda: AgentSpec(name=CHAT_AGENT, graph="chat"))

    def agent(self, name: str) -> AgentSpec:
        """Return the agent of this name, or the plain chat agent if there is none."""
        return self.agents.get(name, self.chat_agent)

    def offered_tools(self, agent: AgentSpec) -> list[Tool]:
        """Return the tools that `agent` is offered: those of its own that exist, the `max_tools` that fit the question best."""
        if (offered := self._offered.get(agent.name)) is None:
            offered = self._offered[agent.name] = self._choose_tools(agent)
        return offered

    def _choose_tools(self, agent: AgentSpec) -> list[Tool]:
        tools = [self.tools[name] for name in agent.tools if name in self.tools]
        if len(tools) <= self.max_tools:
            return sorted(tools, key=self._priority, reverse=True)
        earlier = next((message.text for message in reversed(self.history) if message.role == "user"), "")
        return choose_offered(self.question.text, earlier, tools, self._priority, self.likeness)[: self.max_tools]

    def _priority(self, tool: Tool) -> float:
        return self.priorities.get(tool.spec.name, 100)
