"""Budgets of keys and users, beside those of their tenant (`schema/identity/tenancy.py`). They come with the caller, and with
the job that a caller submits."""

from collections.abc import Iterable
from typing import Any, Literal
from uuid import UUID

import msgspec

Owner = Literal["key", "user"]
LIMITS = ("budget_day_nanos", "budget_month_nanos", "tokens_per_day")
"""The columns of `api_keys` and `users`."""


class CallerBudget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a key, or a user with all their keys, may spend; money in nano-USD, None is no limit."""

    of: Owner
    id: UUID
    budget_day_nanos: int | None = None
    budget_month_nanos: int | None = None
    tokens_per_day: int | None = None

    @property
    def has_money(self) -> bool:
        """Whether it limits money."""
        return (self.budget_day_nanos, self.budget_month_nanos) != (None, None)

    @property
    def owner(self) -> str:
        """Whose it is, as Redis' keys say it."""
        return f"{self.of}/{self.id}"


def budget_json(of: Owner, alias: str) -> str:
    """Return the SQL of a budget as JSON, from the row `alias` of its owner."""
    limits = ", ".join(f"'{name}', {alias}.{name}" for name in LIMITS)
    return f"jsonb_build_object('of', '{of}', 'id', {alias}.id, {limits})"


def read_budgets(stored: Iterable[Any] | None) -> tuple[CallerBudget, ...]:
    """Return the budgets of a list of `budget_json` or of a job's payload: those that limit something."""
    rows = [row for row in stored or () if any(row.get(name) is not None for name in LIMITS)]
    return msgspec.convert(rows, tuple[CallerBudget, ...], strict=False)
