"""The tenant data that every request needs: state, limits, grants. It is read together with the caller's key or token and
cached for a second (`api/auth/authentication.py`).
"""

from typing import Any, Literal
from uuid import UUID

import msgspec

PLATFORM_SLUG = "platform"
"""The tenant of the installation's admins; its id is `schema.vault.PLATFORM`."""

TenantState = Literal["active", "suspended", "deleting"]
GrantKind = Literal["agent", "tool", "model"]


class TenantSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant as returned by `tenant_facts()` in Postgres. Money is in nano-USD; None is unlimited. `models` are patterns;
    `agents` are the callable agents by name, with their first model if they have one."""

    id: UUID
    slug: str
    state: TenantState = "active"
    default_model: str | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    reads_per_minute: int | None = None
    searches_per_minute: int | None = None
    budget_day_nanos: int | None = None
    budget_month_nanos: int | None = None
    budget_warn_percent: int = 80
    models: tuple[str, ...] = ()
    services: frozenset[str] = frozenset()
    agents: dict[str, str | None] = {}

    @property
    def has_money(self) -> bool:
        """Whether it has a budget."""
        return (self.budget_day_nanos, self.budget_month_nanos) != (None, None)

    def may_use_model(self, name: str) -> bool:
        """Whether a model (`provider/name`) is granted."""
        return any(matches(pattern, name) for pattern in self.models)


def matches(pattern: str, name: str) -> bool:
    """Whether a grant covers a name: an equal name, or a prefix that ends with `*`."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def read_tenant_snapshot(row: dict[str, Any]) -> TenantSnapshot:
    """Return the snapshot of a tenant from the result of `tenant_facts()`."""
    return msgspec.convert(row, TenantSnapshot, strict=False)
