"""Pages of jobs, newest first. A page costs the same whatever the table holds: it is found in one index, of which it reads no
more rows than `limit` for each kind and state that is asked for.

One statement that takes every filter, or none, would be planned once for all of them, and then reads every job of the tenant.
"""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import msgspec

from schema.job_kinds import KINDS
from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.queries.jobs.jobs import VIEW, Job
from schema.queries.pages import LAST_ID
from schema.states import STATES

NEWEST = """
SELECT id FROM jobs WHERE tenant_id = %(tenant_id)s AND id < %(before)s AND id >= %(first_id)s
ORDER BY id DESC LIMIT %(limit)s
"""

NEWEST_OF_SESSION = """
WITH own AS MATERIALIZED (
  SELECT id, kind, state FROM jobs WHERE tenant_id = %(tenant_id)s AND session_id = %(session_id)s)
SELECT id FROM own WHERE id < %(before)s AND id >= %(first_id)s AND kind = ANY (%(kinds)s) AND state = ANY (%(states)s)
ORDER BY id DESC LIMIT %(limit)s
"""

NEWEST_OF_EACH = """
SELECT newest.id FROM unnest(%(kinds)s::text[]) AS k (kind), unnest(%(states)s::text[]) AS s (state), LATERAL (
  SELECT id FROM jobs o
  WHERE o.tenant_id = %(tenant_id)s {owner} AND o.kind = k.kind AND o.state = s.state
    AND o.id < %(before)s AND o.id >= %(first_id)s
  ORDER BY o.id DESC LIMIT %(limit)s) AS newest
ORDER BY newest.id DESC LIMIT %(limit)s
"""

OF_USER = "AND o.user_id = %(user_id)s"


# Filters that no index serves are applied to the newest rows that the others leave: so many of them, whatever the table holds.
FILTERED = """
WITH page AS MATERIALIZED ({page}),
found AS (
  SELECT j.id FROM page JOIN jobs j ON j.tenant_id = %(tenant_id)s AND j.id = page.id
  WHERE {clauses} ORDER BY j.id DESC LIMIT %(wanted)s)
SELECT ARRAY(SELECT id FROM found ORDER BY id DESC) AS ids, (SELECT min(id::text)::uuid FROM page) AS last,
  (SELECT count(*) FROM page) AS scanned
"""
CLAUSES = {
    "agent": "j.agent = %(agent)s",
    "model": "j.model = %(model)s",
    "error": "j.error ->> 'code' = %(error)s",
}
SCANNED = 5000
"""Rows that are looked at for one page of a filter without an index."""
COUNTED = 10_000


class JobFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs: of all kinds, states, sessions and users, unless given. `user_id` is to be that of the transaction, which
    sees no others' jobs. Ids from `first_id` on and before `end_id`: they begin with their time."""

    kind: str | None = None
    states: Collection[str] = ()
    session_id: UUID | None = None
    user_id: UUID | None = None
    agent: str | None = None
    model: str | None = None
    error: str | None = None
    first_id: UUID = UUID(int=0)
    end_id: UUID = LAST_ID

    @property
    def page(self) -> str:
        """The statement that finds ids in an index."""
        if self.session_id:
            return NEWEST_OF_SESSION
        if self.kind or self.states or self.user_id:
            return NEWEST_OF_EACH.format(owner=OF_USER if self.user_id else "")
        return NEWEST

    @property
    def clauses(self) -> str:
        """The conditions that no index serves."""
        return " AND ".join(clause for name, clause in CLAUSES.items() if getattr(self, name) is not None)

    def values(self, tenant_id: UUID, before: UUID | None, limit: int) -> dict[str, Any]:
        """Return what the statements take."""
        own = {name: getattr(self, name) for name in ("user_id", "session_id", "agent", "model", "error", "first_id")}
        kinds, states = [self.kind] if self.kind else list(KINDS), list(set(self.states) or STATES)
        end = min(before or LAST_ID, self.end_id)
        return {**own, "tenant_id": tenant_id, "kinds": kinds, "states": states, "before": end, "limit": limit}


class JobPage(msgspec.Struct, frozen=True):
    """Jobs, newest first, and the id that the next page begins after; None if there is none. A page of few rows can have a
    next one: so many rows were looked at."""

    jobs: list[Job]
    next_before: UUID | None


async def list_job_page(
    db: Db, tenant_id: UUID, wanted: JobFilter, *, limit: int, before: UUID | None = None
) -> JobPage:
    """Return a page of jobs, newest first; `before` is `next_before` of the page before."""
    if wanted.clauses:
        return await _list_filtered(db, tenant_id, wanted, limit=limit, before=before)
    values = wanted.values(tenant_id, before, limit + 1)
    sql = f"{VIEW} JOIN ({wanted.page}) AS page ON page.id = j.id WHERE j.tenant_id = %(tenant_id)s ORDER BY j.id DESC"
    rows = await fetch_all(db, sql, values, into=Job)
    return JobPage(rows[:limit], rows[limit - 1].id if len(rows) > limit else None)


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
    """Return jobs, newest first; `before` is the last id of the page before."""
    wanted = JobFilter(kind=kind, states=states, session_id=session_id, user_id=user_id)
    return (await list_job_page(db, tenant_id, wanted, limit=limit, before=before)).jobs


async def _list_filtered(db: Db, tenant_id: UUID, wanted: JobFilter, *, limit: int, before: UUID | None) -> JobPage:
    values = wanted.values(tenant_id, before, SCANNED) | {"wanted": limit + 1}
    row = await fetch_one(db, FILTERED.format(page=wanted.page, clauses=wanted.clauses), values)
    assert row is not None
    ids, scanned_all = row["ids"], row["scanned"] < SCANNED
    jobs = sorted(await list_jobs_by_id(db, tenant_id, ids[:limit]), key=lambda job: job.id, reverse=True)
    if len(ids) > limit:
        return JobPage(jobs, ids[limit - 1])
    return JobPage(jobs, None if scanned_all else row["last"])


async def count_jobs(db: Db, tenant_id: UUID, wanted: JobFilter) -> tuple[int, bool]:
    """Return how many jobs there are among the newest COUNTED that have an index's filters, and whether there may be others."""
    values = wanted.values(tenant_id, None, COUNTED + 1) | {"wanted": COUNTED}
    row = await fetch_one(db, FILTERED.format(page=wanted.page, clauses=wanted.clauses or "true"), values)
    assert row is not None
    return len(row["ids"]), row["scanned"] > COUNTED


async def list_jobs_by_id(db: Db, tenant_id: UUID, ids: Sequence[UUID]) -> list[Job]:
    """Return those of these jobs that are there."""
    sql = f"{VIEW} WHERE j.tenant_id = %(tenant_id)s AND j.id = ANY(%(ids)s::uuid[])"
    return await fetch_all(db, sql, {"tenant_id": tenant_id, "ids": list(ids)}, into=Job)
