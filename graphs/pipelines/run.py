"""Runs a pipeline: from its start, or resumed after the last finished steps when another worker was killed."""

from typing import Any
from uuid import UUID

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph

from graphs.agents.contract import AgentRun
from graphs.agents.emitter import replay_trail
from graphs.agents.graphs import AgentGraphs, Thread
from graphs.data_marks import DataMark
from graphs.pipelines.compile_graph import build_pipeline
from graphs.pipelines.definition import Definition
from graphs.pipelines.state import State
from graphs.pipelines.steps import PipelineRun
from schema.ttl_cache import TtlCache

CompiledPipeline = CompiledStateGraph[Any, PipelineRun, Any, Any]
Version = tuple[UUID, int]
"""A pipeline's id and version; what they identify never changes."""

MAX_COMPILED = 256
"""Compiled pipelines that a process caches."""


class PipelineGraphs:
    """The compiled pipelines of a process; `agents` are the graphs that agent steps run."""

    def __init__(self, checkpointer: BaseCheckpointSaver[Any], agents: AgentGraphs) -> None:
        self._checkpointer, self._agents = checkpointer, agents
        self._compiled: TtlCache[Version, CompiledPipeline] = TtlCache(MAX_COMPILED)

    def get(self, version: Version, definition: Definition) -> CompiledPipeline:
        """Return the graph of a version, compiled on first use."""
        return self._compiled.get_or_make(version, lambda: self._compile(definition))

    def _compile(self, definition: Definition) -> CompiledPipeline:
        return build_pipeline(definition).compile(checkpointer=self._checkpointer, name=definition.name)

    async def run(
        self, version: Version, definition: Definition, run: AgentRun, thread: Thread, *, resume: bool
    ) -> State:
        """Run a version to its end and return the final state; `run.question` is the input. With `resume`, continue after the
        last finished steps, if any, and replay the events so far. Raises StepFailed and what models raise."""
        graph = self.get(version, definition)
        context = PipelineRun(run, self._agents, len(definition.steps))
        config: Any = {
            "configurable": {"thread_id": thread.name},
            "metadata": {"job_id": thread.job_id},
            "recursion_limit": 3 * len(definition.steps) + 10,
        }
        input_state: State | None = {"trail": [], "mark": DataMark.new().code}
        if resume:
            snapshot = await graph.aget_state(config)
            if snapshot.values and (snapshot.metadata or {}).get("job_id") == thread.job_id:
                # The values include what finished steps wrote while others of the same round had not finished. (`next`
                # doesn't say what follows such a round, so whether a run is over is left to LangGraph.)
                replay_trail(snapshot.values.get("trail", ()), run.emit)
                input_state = None
        return await graph.ainvoke(input_state, config, context=context, durability="sync")
