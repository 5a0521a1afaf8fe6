"""What benchmarks need of their worker process."""

from dataclasses import dataclass

from workers.agents.context import AgentContext
from workers.limits.limits import Limits


@dataclass(frozen=True)
class BenchmarkContext:
    """Models and agents as for answers, and the tenants' limits."""

    agents: AgentContext
    limits: Limits
