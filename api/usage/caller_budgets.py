"""Budgets of API keys and users, as their routes take and show them."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.usage.money import Usd, to_nanos, to_usd
from schema.identity.budgets import CallerBudget, Owner
from schema.postgres.connections import Db
from schema.queries.identity.api_keys import ApiKey
from schema.queries.identity.users import User
from schema.queries.identity.widgets import StoredWidget
from schema.queries.tenants.usage import get_callers_spending

MAX_TOKENS = 2**53

BudgetDay = Annotated[Usd, Meta(description="Most that may be spent in a day (UTC), in US dollars; null is unlimited.")]
BudgetMonth = Annotated[
    Usd, Meta(description="Most that may be spent in a month (UTC), in US dollars; null is unlimited.")
]
TokensPerDay = Annotated[
    int, Meta(ge=0, le=MAX_TOKENS, description="Most tokens in a day (UTC), prompts and answers; null is unlimited.")
]


class BudgetChangeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Budgets to set. Omitted ones keep their value."""

    budget_day_usd: BudgetDay | UnsetType | None = UNSET
    budget_month_usd: BudgetMonth | UnsetType | None = UNSET
    tokens_per_day: TokensPerDay | UnsetType | None = UNSET


class SpentOut(msgspec.Struct, frozen=True, kw_only=True):
    """What was spent of budgets, by ended jobs."""

    day_usd: Annotated[float, Meta(description="US dollars of today (UTC).")]
    month_usd: Annotated[float, Meta(description="US dollars of this month (UTC).")]
    day_tokens: Annotated[int, Meta(description="Tokens of today (UTC).")]


class OwnBudgetOut(msgspec.Struct, frozen=True, kw_only=True):
    """A budget that holds for a caller, with what is spent of it."""

    of: Annotated[Owner, Meta(description="Whether it is the key's, or the user's with all their keys.")]
    budget_day_usd: BudgetDay | None
    budget_month_usd: BudgetMonth | None
    tokens_per_day: TokensPerDay | None
    spent: Annotated[SpentOut, Meta(description="What was spent of it.")]


BUDGET_EXAMPLE: dict[str, Any] = {"budget_day_usd": 5.0, "budget_month_usd": None, "tokens_per_day": None}
SPENT_EXAMPLE = {"day_usd": 0.3152, "month_usd": 7.0412, "day_tokens": 69_934}


def budget_columns(data: Any) -> dict[str, int | None]:
    """Return the columns that a request sets. Raises InputError for fractions of a nano-USD."""
    columns: dict[str, int | None] = {}
    for field in ("budget_day_usd", "budget_month_usd"):
        if (usd := getattr(data, field)) is not UNSET:
            columns[field.replace("_usd", "_nanos")] = None if usd is None else to_nanos(usd, field)
    if data.tokens_per_day is not UNSET:
        columns["tokens_per_day"] = data.tokens_per_day
    return columns


def budget_fields(row: ApiKey | StoredWidget | User | CallerBudget) -> dict[str, Any]:
    """Return the fields of a response that show the budgets of a row."""
    return {
        "budget_day_usd": None if row.budget_day_nanos is None else to_usd(row.budget_day_nanos),
        "budget_month_usd": None if row.budget_month_nanos is None else to_usd(row.budget_month_nanos),
        "tokens_per_day": row.tokens_per_day,
    }


async def read_spent_out(db: Db, tenant_id: Any, of: Owner, owner_id: Any) -> SpentOut:
    """Return what a key or a user has spent."""
    day, month, tokens = await get_callers_spending(db, tenant_id, of, owner_id)
    return SpentOut(day_usd=to_usd(day), month_usd=to_usd(month), day_tokens=tokens)


async def read_own_budgets(db: Db, tenant_id: UUID, budgets: tuple[CallerBudget, ...]) -> list[OwnBudgetOut]:
    """Return a caller's budgets, with what is spent of each."""
    return [
        OwnBudgetOut(of=one.of, spent=await read_spent_out(db, tenant_id, one.of, one.id), **budget_fields(one))
        for one in budgets
    ]
