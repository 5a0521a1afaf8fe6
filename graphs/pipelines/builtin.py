"""The pipelines that every tenant has: the graphs that agents run.

They are drawn from `builtin.json`, because the API doesn't load LangGraph; a test compares it with the compiled graphs.
Regenerate it with `python -m tests.graphs.compiled_topologies`.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from graphs.pipelines.topology import Topology

TOPOLOGY_FILE = Path(__file__).with_name("builtin.json")


@dataclass(frozen=True)
class BuiltinPipeline:
    """A built-in pipeline. `needs_agent`: the caller names the agent that it runs."""

    name: str
    description: str
    needs_agent: bool = False


BUILTIN: dict[str, BuiltinPipeline] = {
    pipeline.name: pipeline
    for pipeline in (
        BuiltinPipeline("auto", "Routes the question to one of your agents or to the model alone."),
        BuiltinPipeline("chat", "The model alone answers, with the trimmed conversation."),
        BuiltinPipeline(
            "react", "An agent alternates between thinking and calling tools until it can answer.", needs_agent=True
        ),
        BuiltinPipeline(
            "plan_execute", "An agent plans, runs the steps in parallel, verifies, answers.", needs_agent=True
        ),
        BuiltinPipeline("supervisor", "Routes the question to your agents, one after the other if it needs several."),
    )
}


def find_builtin(name: str) -> BuiltinPipeline | None:
    """Return the built-in pipeline of this name."""
    return BUILTIN.get(name)


def builtin_topology(name: str) -> Topology:
    """Return the topology of a built-in pipeline. Raises KeyError for an unknown name."""
    return _topologies()[name]


@cache
def _topologies() -> dict[str, Topology]:
    return msgspec.json.decode(TOPOLOGY_FILE.read_bytes(), type=dict[str, Topology])
