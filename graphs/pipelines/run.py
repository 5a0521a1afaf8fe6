"""A run of a pipeline: from its start, or on behind the last steps that ended when another worker was killed."""

from typing import Any
from uuid import UUID

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph

from graphs.agents.contract import AgentRun
from graphs.agents.emitter import replay_trail
from graphs.agents.graphs import AgentGraphs, Thread
from graphs.pipelines.compile_graph import build_pipeline
from graphs.pipelines.definition import Definition
from graphs.pipelines.state import State
from graphs.pipelines.steps import PipelineRun
from schema.ttl_cache import TtlCache

Compiled = CompiledStateGraph[Any, PipelineRun, Any, Any]
Version = tuple[UUID, int]
"""A pipeline's id and version; what it names never changes."""

KEPT = 256
"""Compiled pipelines that a process remembers."""


class PipelineGraphs:
    """The compiled pipelines of a process; `agents` are the graphs that agent steps run."""

    def __init__(self, saver: BaseCheckpointSaver[Any], agents: AgentGraphs) -> None:
        self._saver, self._agents = saver, agents
        self._built: TtlCache[Version, Compiled] = TtlCache(KEPT)

    def get(self, version: Version, definition: Definition) -> Compiled:
        """Return the graph of a version, compiled at its first use."""
        return self._built.get_or_make(version, lambda: self._compile(definition))

    def _compile(self, definition: Definition) -> Compiled:
        return build_pipeline(definition).compile(checkpointer=self._saver, name=definition.name)

    async def run(
        self, version: Version, definition: Definition, run: AgentRun, thread: Thread, *, resume: bool
    ) -> State:
        """Run a version to its end and return the last state; `run.question` is the input. With `resume` it goes on behind the
        last steps that ended, if any have, and tells again what was told. Raises StepFailed and what models raise."""
        graph = self.get(version, definition)
        context = PipelineRun(run, self._agents, len(definition.steps))
        config: Any = {
            "configurable": {"thread_id": thread.name},
            "metadata": {"job_id": thread.job_id},
            "recursion_limit": 3 * len(definition.steps) + 10,
        }
        given: State | None = {"trail": []}
        if resume:
            kept = await graph.aget_state(config)
            if kept.values and (kept.metadata or {}).get("job_id") == thread.job_id:
                # These hold what steps wrote that have ended while others of their round have not. (`next` says nothing of
                # what follows such a round, so whether a run is over is LangGraph's to say.)
                replay_trail(kept.values.get("trail", ()), run.emit)
                given = None
        return await graph.ainvoke(given, config, context=context, durability="sync")
