"""Answers that may be given again (G9)."""

from psycopg.rows import DictRow

from graphs.agents.contract import AgentRun
from graphs.agents.state import AgentState
from schema.events import MessageCompleted
from workers.agents.configuration import Configuration
from workers.workshop import Workshop


async def find(shop: Workshop, job: DictRow, configuration: Configuration, run: AgentRun) -> MessageCompleted | None:
    """Return an answer that was given before to the same question, or to one that means the same."""
    return None


async def keep(
    shop: Workshop,
    job: DictRow,
    configuration: Configuration,
    run: AgentRun,
    ended: AgentState,
    completed: MessageCompleted,
) -> None:
    """Keep an answer, if it may be given again."""
