"""Pages of jobs, newest first. A page costs the same whatever the table holds: it is found in one index, of which it reads no
more rows than `limit` for each kind and state that is asked for.

One statement that takes every filter, or none, would be planned once for all of them, and then reads every job of the tenant.
"""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from schema.job_kinds import KINDS
from schema.postgres.connections import Db, fetch_all
from schema.queries.jobs.jobs import VIEW, Job
from schema.queries.pages import LAST_ID
from schema.states import STATES

NEWEST = """
SELECT id FROM jobs WHERE tenant_id = %(tenant_id)s AND id < %(before)s ORDER BY id DESC LIMIT %(limit)s
"""

NEWEST_OF_SESSION = """
WITH own AS MATERIALIZED (
  SELECT id, kind, state FROM jobs WHERE tenant_id = %(tenant_id)s AND session_id = %(session_id)s)
SELECT id FROM own WHERE id < %(before)s AND kind = ANY (%(kinds)s) AND state = ANY (%(states)s)
ORDER BY id DESC LIMIT %(limit)s
"""

NEWEST_OF_EACH = """
SELECT newest.id FROM unnest(%(kinds)s::text[]) AS k (kind), unnest(%(states)s::text[]) AS s (state), LATERAL (
  SELECT id FROM jobs o
  WHERE o.tenant_id = %(tenant_id)s {owner} AND o.kind = k.kind AND o.state = s.state AND o.id < %(before)s
  ORDER BY o.id DESC LIMIT %(limit)s) AS newest
ORDER BY newest.id DESC LIMIT %(limit)s
"""

OF_USER = "AND o.user_id = %(user_id)s"


async def list_jobs(
    db: Db,
    tenant_id: UUID,
    *,
    limit: int,
    before: UUID | None = None,
    kind: str | None = None,
    states: Collection[str] = (),
    session_id: UUID | None = None,
    user_id: UUID | None = None,
) -> list[Job]:
    """Return jobs, newest first: of all kinds, states, sessions and users, unless given. `before` is the last id of the page
    before; `user_id` is to be that of the transaction, which sees no others' jobs."""
    if session_id:
        page = NEWEST_OF_SESSION
    elif kind or states or user_id:
        page = NEWEST_OF_EACH.format(owner=OF_USER if user_id else "")
    else:
        page = NEWEST
    values: dict[str, Any] = {"tenant_id": tenant_id, "user_id": user_id, "session_id": session_id}
    values |= {"kinds": [kind] if kind else list(KINDS), "states": list(set(states) or STATES)}
    sql = f"{VIEW} JOIN ({page}) AS page ON page.id = j.id WHERE j.tenant_id = %(tenant_id)s ORDER BY j.id DESC"
    return await fetch_all(db, sql, {**values, "before": before or LAST_ID, "limit": limit}, into=Job)


async def list_jobs_by_id(db: Db, tenant_id: UUID, ids: Sequence[UUID]) -> list[Job]:
    """Return those of these jobs that are there."""
    sql = f"{VIEW} WHERE j.tenant_id = %(tenant_id)s AND j.id = ANY(%(ids)s::uuid[])"
    return await fetch_all(db, sql, {"tenant_id": tenant_id, "ids": list(ids)}, into=Job)
