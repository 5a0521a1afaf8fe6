"""The pipelines that are there for every tenant: the graphs that agents run.

They are drawn from `builtin.json`, since whoever draws them, the API, does not load LangGraph; a test compares it with the
graphs as they are compiled. Write it anew with `python -m tests.graphs.compiled_topologies`.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from graphs.pipelines.topology import Topology

FILE = Path(__file__).with_name("builtin.json")


@dataclass(frozen=True)
class Builtin:
    """A built-in pipeline. `needs_agent`: it runs for one agent, whom the caller names."""

    name: str
    description: str
    needs_agent: bool = False


BUILTIN: dict[str, Builtin] = {
    one.name: one
    for one in (
        Builtin("auto", "Finds who is to answer, the model alone or one of your agents, and how."),
        Builtin("chat", "The model alone answers, over the trimmed conversation."),
        Builtin("react", "An agent thinks and looks up in turns, until it can answer.", needs_agent=True),
        Builtin("plan_execute", "An agent plans, does the steps side by side, checks, answers.", needs_agent=True),
        Builtin("supervisor", "Finds the agents for a question, one after the other where there are several."),
    )
}


def find_builtin(name: str) -> Builtin | None:
    """Return the built-in pipeline of this name."""
    return BUILTIN.get(name)


def builtin_topology(name: str) -> Topology:
    """Return how a built-in pipeline is drawn. Raises KeyError for a name that is none's."""
    return _read()[name]


@cache
def _read() -> dict[str, Topology]:
    return msgspec.json.decode(FILE.read_bytes(), type=dict[str, Topology])
