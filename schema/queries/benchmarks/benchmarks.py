"""Benchmarks: submitting, measuring, reading. A benchmark's id is its job's, and its state is the job's."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.ids import new_id
from schema.postgres.batch import Statement, run_batch
from schema.postgres.connections import Db, Pool, fetch_all, fetch_one
from schema.queries.pages import LAST_ID
from schema.queries.statements import read_sql
from schema.states import STATES, State
from schema.storable import storable_json

ADD_BENCHMARK = """
INSERT INTO benchmarks (tenant_id, id, user_id, models, settings, total)
SELECT tenant_id, id, user_id, %(models)s::jsonb, %(settings)s::jsonb, %(total)s::int
FROM jobs WHERE tenant_id = %(tenant_id)s AND id = %(id)s
"""

ADD_ITERATION = read_sql("add_iteration")

VIEW = """
SELECT b.id, b.models, b.settings, b.total, j.state, j.error, j.created_at, j.started_at, j.finished_at,
  CASE WHEN b.settings ? 'quality' THEN
    (SELECT count(*) FROM benchmark_items i WHERE i.tenant_id = b.tenant_id AND i.benchmark_id = b.id)
  ELSE (SELECT count(*) FROM benchmark_iterations i
    WHERE i.tenant_id = b.tenant_id AND i.benchmark_id = b.id AND i.place >= 0) END AS done
FROM benchmarks b JOIN jobs j ON j.tenant_id = b.tenant_id AND j.id = b.id
"""

# As pages of jobs (`schema/queries/jobs/job_lists.py`): their index, read once for each state.
NEWEST = """
SELECT newest.id FROM unnest(%(states)s::text[]) AS s (state), LATERAL (
  SELECT j.id FROM jobs j
  WHERE j.tenant_id = %(tenant_id)s AND j.kind = 'benchmark' AND j.state = s.state AND j.id < %(before)s {chosen}
  ORDER BY j.id DESC LIMIT %(limit)s) AS newest
ORDER BY newest.id DESC LIMIT %(limit)s
"""

# Subqueries where joins would read as well: the planner makes no plan of them that begins with all benchmarks of the tenant.
OF_MODEL = "AND (SELECT o.models ? %(model)s FROM benchmarks o WHERE o.tenant_id = j.tenant_id AND o.id = j.id)"

HISTORY = """
SELECT r.benchmark_id, r.model, r.figures, r.created_at FROM benchmark_results r
WHERE r.tenant_id = %(tenant_id)s {chosen} AND (r.benchmark_id, r.model) < (%(before_id)s, %(before_model)s)
  AND (SELECT true FROM benchmarks b WHERE b.tenant_id = r.tenant_id AND b.id = r.benchmark_id)
ORDER BY r.benchmark_id DESC, r.model DESC LIMIT %(limit)s
"""

ITERATION = """SELECT place, model, number, prompt, attempt, started_at, first_token_ms, tokens_per_second, total_ms,
  input_tokens, output_tokens, estimated, cost_nanos, error FROM benchmark_iterations"""


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """A benchmark with the state of its job; `done` of its `total` iterations have ended."""

    id: UUID
    models: list[str]
    settings: dict[str, Any]
    total: int
    state: State
    error: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    done: int


class Iteration(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a model; `place` is negative for those that only warm up."""

    place: int
    model: str
    number: int
    prompt: int
    attempt: int
    started_at: datetime
    first_token_ms: float | None
    tokens_per_second: float | None
    total_ms: float
    input_tokens: int
    output_tokens: int
    estimated: bool
    cost_nanos: int
    error: dict[str, Any] | None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a benchmark's iterations of one model add up to."""

    benchmark_id: UUID
    model: str
    figures: dict[str, Any]
    created_at: datetime


def add_benchmark(
    tenant_id: UUID, job_id: UUID, *, models: Sequence[str], settings: dict[str, Any], total: int
) -> Statement:
    """Return the statement that stores a benchmark, for the transaction of its job."""
    values = {"tenant_id": tenant_id, "id": job_id, "models": Jsonb(list(models)), "settings": storable_json(settings)}
    return ADD_BENCHMARK, {**values, "total": total}


async def find_benchmark(db: Db, tenant_id: UUID, benchmark_id: UUID) -> Benchmark | None:
    """Return one benchmark."""
    sql = f"{VIEW} WHERE b.tenant_id = %(tenant_id)s AND b.id = %(id)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": benchmark_id}, into=Benchmark)


async def list_benchmarks(
    db: Db,
    tenant_id: UUID,
    *,
    limit: int,
    before: UUID | None = None,
    model: str | None = None,
    states: Sequence[State] = (),
) -> list[Benchmark]:
    """Return benchmarks, newest first: of all models and in all states, unless given."""
    page = NEWEST.format(chosen=OF_MODEL if model else "")
    sql = f"{VIEW} JOIN ({page}) AS page ON page.id = b.id WHERE b.tenant_id = %(tenant_id)s ORDER BY b.id DESC"
    values = {"tenant_id": tenant_id, "before": before or LAST_ID, "limit": limit, "model": model}
    return await fetch_all(db, sql, {**values, "states": list(set(states) or STATES)}, into=Benchmark)


async def list_iterations(
    db: Db, tenant_id: UUID, benchmark_id: UUID, *, limit: int | None = None, after: int = -1
) -> list[Iteration]:
    """Return the measured iterations in the order of their places, from behind `after`."""
    sql = f"""{ITERATION} WHERE tenant_id = %(tenant_id)s AND benchmark_id = %(id)s AND place > %(after)s
      ORDER BY place LIMIT %(limit)s"""
    values = {"tenant_id": tenant_id, "id": benchmark_id, "after": after, "limit": limit}
    return await fetch_all(db, sql, values, into=Iteration)


async def list_places(db: Db, tenant_id: UUID, benchmark_id: UUID) -> set[int]:
    """Return the places that have been measured, those that warm up included."""
    sql = "SELECT place FROM benchmark_iterations WHERE tenant_id = %(tenant_id)s AND benchmark_id = %(id)s"
    return {row["place"] for row in await fetch_all(db, sql, {"tenant_id": tenant_id, "id": benchmark_id})}


async def add_iteration(
    pool: Pool, tenant_id: UUID, benchmark_id: UUID, iteration: Iteration, *, worker: str, own_key: bool
) -> bool:
    """Store a call and book its usage, in one step. False, and nothing happened, if another attempt or worker has the job by
    now, or the place was measured before."""
    values: dict[str, Any] = {**msgspec.structs.asdict(iteration), "tenant_id": tenant_id, "id": benchmark_id}
    values |= {"worker": worker, "own_key": own_key, "usage_id": new_id(), "from_state": "running"}
    values["error"] = None if iteration.error is None else storable_json(iteration.error)
    (rows,) = await run_batch(pool, tenant_id, [(ADD_ITERATION, values)])
    return bool(rows)


async def set_results(db: Db, tenant_id: UUID, benchmark_id: UUID, figures: dict[str, dict[str, Any]]) -> None:
    """Store the figures of each model, in place of earlier ones."""
    sql = """INSERT INTO benchmark_results (tenant_id, benchmark_id, model, figures)
      SELECT %(tenant_id)s, %(id)s, f.key, f.value FROM jsonb_each(%(figures)s::jsonb) AS f
      WHERE EXISTS (SELECT 1 FROM benchmarks WHERE tenant_id = %(tenant_id)s AND id = %(id)s)
      ON CONFLICT (tenant_id, benchmark_id, model) DO UPDATE SET figures = excluded.figures, created_at = now()"""
    await db.execute(sql, {"tenant_id": tenant_id, "id": benchmark_id, "figures": storable_json(figures)})


async def list_results(db: Db, tenant_id: UUID, benchmark_ids: Sequence[UUID]) -> list[Result]:
    """Return the stored results of these benchmarks."""
    sql = """SELECT benchmark_id, model, figures, created_at FROM benchmark_results
      WHERE tenant_id = %(tenant_id)s AND benchmark_id = ANY (%(ids)s) ORDER BY benchmark_id, model"""
    return await fetch_all(db, sql, {"tenant_id": tenant_id, "ids": list(benchmark_ids)}, into=Result)


async def list_history(
    db: Db, tenant_id: UUID, *, model: str | None, limit: int, before: tuple[UUID, str] | None = None
) -> list[Result]:
    """Return the results of one model, or of all, in all benchmarks that the transaction sees, newest first. `before` is the
    benchmark and model of the last one of the page before."""
    sql = HISTORY.format(chosen="AND r.model = %(model)s" if model is not None else "")
    before_id, before_model = before or (LAST_ID, "")
    values: dict[str, Any] = {"tenant_id": tenant_id, "model": model, "limit": limit}
    return await fetch_all(db, sql, values | {"before_id": before_id, "before_model": before_model}, into=Result)
