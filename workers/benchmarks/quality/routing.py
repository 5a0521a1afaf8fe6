"""Which agent is chosen for a question, without asking a model."""

from graphs.routing.contract import Candidate
from schema.queries.agents.agent_config import read_run_inputs
from schema.queries.jobs.attempts import ClaimedJob
from workers.agents.configuration import routing_candidates
from workers.agents.context import AgentContext
from workers.benchmarks.quality.items import NO_AGENT, Item
from workers.benchmarks.quality.outcome import Outcome


async def list_candidates(context: AgentContext, job: ClaimedJob) -> list[Candidate]:
    """Return the agents that the caller of a job may be routed to."""
    inputs = await read_run_inputs(context.pool, job.tenant_id, job_id=job.id, session_id=None, user_id=job.user_id)
    configuration = await context.configurations.get(job.tenant_id, inputs.version)
    return list(routing_candidates(configuration))


async def judge_route(context: AgentContext, candidates: list[Candidate], item: Item) -> Outcome:
    """Return whether the expected agent is chosen, and how it was."""
    route = await context.router.route(item.question, candidates)
    found = route.agent or NO_AGENT
    outcome = {
        **{"expected": item.agent, "found": found, "confidence": round(route.confidence, 4)},
        **{"sure": not route.needs_model and route.clarify is None, "reason": route.reason},
    }
    return found == item.agent, outcome
