"""What every request must know of its tenant: state, limits, grants. Read with the caller's key or token, kept for a second
(`api/auth/authentication.py`), so that no request asks twice.
"""

from typing import Any, Literal
from uuid import UUID

import msgspec

PLATFORM_SLUG = "platform"
"""The tenant that the installation's own admins belong to; its id is `schema.vault.PLATFORM`."""

TenantState = Literal["active", "suspended", "deleting"]
GrantKind = Literal["agent", "tool", "model"]


class TenantSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant as `tenant_facts()` in Postgres tells it. Money in nano-USD; None is no limit; `models` are
    patterns, `agents` the names of those that may be called, with their first model if they name one."""

    id: UUID
    slug: str
    state: TenantState = "active"
    default_model: str | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    budget_day_nanos: int | None = None
    budget_month_nanos: int | None = None
    budget_warn_percent: int = 80
    models: tuple[str, ...] = ()
    services: frozenset[str] = frozenset()
    agents: dict[str, str | None] = {}

    def may_use_model(self, name: str) -> bool:
        """Whether a model (`provider/name`) is granted."""
        return any(matches(pattern, name) for pattern in self.models)


def matches(pattern: str, name: str) -> bool:
    """Whether a grant covers a name: the name itself, or a beginning of it that ends with `*`."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def read_tenant_snapshot(row: dict[str, Any]) -> TenantSnapshot:
    """Return the snapshot of a tenant from what `tenant_facts()` gave."""
    return msgspec.convert(row, TenantSnapshot, strict=False)
