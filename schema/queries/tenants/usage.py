"""What was used and what it cost, per day, user, key, agent and model. Money is in nano-USD; tokens become money in
`schema/model_catalog/prices.py`."""

from collections.abc import Sequence
from datetime import date
from typing import Any, Literal
from uuid import UUID

import msgspec

from schema.events.base import ModelUsage
from schema.identity.budgets import Owner
from schema.ids import new_id
from schema.postgres.connections import Db, fetch_all, fetch_one

GroupBy = Literal["day", "user_id", "key_id", "agent", "model"]


class UsageSum(msgspec.Struct, frozen=True, kw_only=True):
    """What was used and what it cost, in all or for the day, user, key, agent or model that it was grouped by."""

    day: date | None = None
    user_id: UUID | None = None
    key_id: UUID | None = None
    agent: str | None = None
    model: str | None = None
    jobs: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nanos: int = 0
    own_key_input_tokens: int = 0
    own_key_output_tokens: int = 0


USED = ", ".join(UsageSum.__struct_fields__[5:])
USED_IN_ALL = f"""(
  SELECT tenant_id, day, {USED} FROM usage_days UNION ALL
  SELECT tenant_id, day, {USED} FROM usage_records WHERE NOT merged) AS used"""
"""What tenants used by day: a row for what is merged of it, and those that are not merged yet."""

SPENDING = f"""
SELECT coalesce(sum(cost_nanos) FILTER (WHERE day = (now() AT TIME ZONE 'UTC')::date), 0)::bigint AS day_nanos,
  coalesce(sum(cost_nanos), 0)::bigint AS month_nanos
FROM {USED_IN_ALL}
WHERE tenant_id = %(tenant_id)s AND day >= date_trunc('month', now() AT TIME ZONE 'UTC')::date
"""


async def get_spending(db: Db, tenant_id: UUID) -> tuple[int, int]:
    """Return what the tenant has spent today and this month (UTC)."""
    row = await fetch_one(db, SPENDING, {"tenant_id": tenant_id})
    assert row is not None
    return row["day_nanos"], row["month_nanos"]


CALLERS_SPENDING = """
SELECT coalesce(sum(cost_nanos) FILTER (WHERE day = (now() AT TIME ZONE 'UTC')::date), 0)::bigint AS day_nanos,
  coalesce(sum(cost_nanos), 0)::bigint AS month_nanos,
  coalesce(sum(input_tokens + output_tokens) FILTER (WHERE day = (now() AT TIME ZONE 'UTC')::date), 0)::bigint AS day_tokens
FROM usage_records
WHERE tenant_id = %(tenant_id)s AND day >= date_trunc('month', now() AT TIME ZONE 'UTC')::date
  AND CASE WHEN %(of)s = 'key' THEN key_id ELSE user_id END = %(id)s
"""


async def get_callers_spending(db: Db, tenant_id: UUID, of: Owner, owner_id: UUID) -> tuple[int, int, int]:
    """Return what a key or a user has spent today and this month (UTC), and the tokens of today."""
    row = await fetch_one(db, CALLERS_SPENDING, {"tenant_id": tenant_id, "of": of, "id": owner_id})
    assert row is not None
    return row["day_nanos"], row["month_nanos"], row["day_tokens"]


ADD_CALL = """
INSERT INTO usage_records (tenant_id, id, day, user_id, agent, model, jobs, input_tokens, output_tokens, cost_nanos,
  own_key_input_tokens, own_key_output_tokens, key_id)
SELECT %(tenant_id)s::uuid, %(id)s::uuid, (now() AT TIME ZONE 'UTC')::date, %(user_id)s::uuid, '', %(model)s::text, 0,
  %(input_tokens)s::bigint, 0, %(cost_nanos)s::bigint, %(own_key_tokens)s::bigint, 0,
  %(key_id)s::uuid
"""


async def add_call(
    db: Db, tenant_id: UUID, *, user_id: UUID | None, key_id: UUID | None, used: ModelUsage, cost_nanos: int
) -> None:
    """Write down a call of a model that was no job."""
    values = {"tenant_id": tenant_id, "id": new_id(), "user_id": user_id, "model": used.model, "cost_nanos": cost_nanos}
    values |= {"input_tokens": used.input_tokens, "own_key_tokens": used.own_key_input_tokens, "key_id": key_id}
    await db.execute(ADD_CALL, values)


async def list_usage(
    db: Db,
    tenant_id: UUID,
    *,
    first: date,
    last: date,
    by: Sequence[GroupBy],
    limit: int,
    user_id: UUID | None = None,
    agent: str | None = None,
    model: str | None = None,
) -> list[UsageSum]:
    """Return sums from day `first` to `last`, both included, one row for each combination of `by`, the dearest first."""
    names = list(dict.fromkeys(by))  # of a Literal type, so they are column names and nothing else
    columns = ", ".join(names)
    filters = {"user_id": user_id, "agent": agent, "model": model}
    given = [name for name, value in filters.items() if value is not None]
    source = "usage_records" if given or set(names) - {"day"} else USED_IN_ALL
    sql = f"""SELECT {columns + "," if columns else ""} sum(jobs)::bigint AS jobs,
        sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens,
        sum(cost_nanos)::bigint AS cost_nanos, sum(own_key_input_tokens)::bigint AS own_key_input_tokens,
        sum(own_key_output_tokens)::bigint AS own_key_output_tokens
      FROM {source}
      WHERE tenant_id = %(tenant_id)s AND day BETWEEN %(first)s AND %(last)s
        {" ".join(f"AND {name} = %({name})s" for name in given)}
      {f"GROUP BY {columns}" if columns else ""} HAVING count(*) > 0
      ORDER BY {"day DESC," if "day" in names else ""} sum(cost_nanos) DESC, sum(jobs) DESC LIMIT %(limit)s"""
    values: dict[str, Any] = {"tenant_id": tenant_id, "first": first, "last": last, "limit": limit}
    return await fetch_all(db, sql, {**values, **filters}, into=UsageSum)
