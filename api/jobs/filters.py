"""Which jobs a list shows: the query parameters, and what they mean to the query."""

import re
from typing import Annotated
from uuid import UUID

from litestar.di import NamedDependency
from litestar.params import QueryParameter

from api.auth.principals import Principal
from api.http.query_params import Since, Until, parse_time
from schema.errors import InputError
from schema.ids import first_id
from schema.job_kinds import Kind
from schema.queries.jobs.job_lists import JobFilter
from schema.queries.pages import LAST_ID
from schema.states import WAITING, PublicState, State

INTERNAL_STATES: dict[PublicState, list[State]] = {"queued": list(WAITING)}
ID_PREFIX = re.compile(r"[0-9a-f]{1,32}")

KindFilter = Annotated[Kind | None, QueryParameter(description="Only jobs of this kind.")]
StateFilter = Annotated[
    list[PublicState] | None,
    QueryParameter(name="state", description="Only jobs in this state. Repeat to select several states."),
]
SessionFilter = Annotated[UUID | None, QueryParameter(description="Only jobs of this session.")]
AgentFilter = Annotated[
    str | None, QueryParameter(max_length=200, description="Only jobs for this agent, as it was asked for.")
]
ModelFilter = Annotated[
    str | None, QueryParameter(max_length=300, description="Only jobs with this model, as `provider/name`.")
]
ErrorFilter = Annotated[
    str | None,
    QueryParameter(max_length=100, description="Only jobs that failed with this `code`, such as `deadline_passed`."),
]
PrefixFilter = Annotated[
    str | None,
    QueryParameter(
        max_length=36, description="Only jobs whose id begins so: hexadecimal digits, with or without dashes."
    ),
]


async def read_job_filter(
    principal: NamedDependency[Principal],
    kind: KindFilter = None,
    public_states: StateFilter = None,
    session_id: SessionFilter = None,
    agent: AgentFilter = None,
    model: ModelFilter = None,
    error: ErrorFilter = None,
    id_prefix: PrefixFilter = None,
    since: Since = None,
    until: Until = None,
) -> JobFilter:
    """Dependency `job_filter`. Raises InputError."""
    states = [inner for public in public_states or [] for inner in INTERNAL_STATES.get(public, [public])]
    first, end = _id_range(id_prefix)
    from_time, to_time = parse_time(since, "since"), parse_time(until, "until")
    return JobFilter(
        kind=kind,
        states=states or (["failed"] if error is not None else []),
        session_id=session_id,
        user_id=principal.visible_user_id,
        agent=agent,
        model=model,
        error=error,
        first_id=max(first, first_id(from_time)) if from_time else first,
        end_id=min(end, first_id(to_time)) if to_time else end,
    )


def _id_range(prefix: str | None) -> tuple[UUID, UUID]:
    """Return the smallest id with a prefix, and the one after the largest."""
    if prefix is None:
        return UUID(int=0), LAST_ID
    digits = prefix.replace("-", "").lower()
    if not ID_PREFIX.fullmatch(digits):
        raise InputError("id_prefix must be the beginning of an id, such as 019a5c9e.", field="id_prefix")
    first = int(digits.ljust(32, "0"), 16)
    return UUID(int=first), UUID(int=min(LAST_ID.int, first + (1 << 4 * (32 - len(digits)))))
