"""Writes down what was changed, by whom, from where (X7): in the log of the tenant that it concerns."""

from typing import Any
from uuid import UUID

from api.auth.principals import Principal
from schema.db import Db
from schema.queries.tenants.audit import add_audit, add_platform_audit


async def record(
    db: Db, principal: Principal, tenant_id: UUID, action: str, target: str, detail: dict[str, Any] | None = None
) -> None:
    """Add a row to the tenant's audit log; `db` is a transaction of that tenant. `detail` holds nothing secret."""
    await add_audit(db, tenant_id, **_entry(principal, action, target, detail))


async def record_also_for_platform(
    db: Db, principal: Principal, tenant_id: UUID, action: str, target: str, detail: dict[str, Any] | None = None
) -> None:
    """Add it to the platform's log too, which outlives the tenant."""
    deed = _entry(principal, action, target, detail)
    await add_audit(db, tenant_id, **deed)
    await add_platform_audit(db, tenant_id, **deed)


def _entry(principal: Principal, action: str, target: str, detail: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "actor": principal.actor,
        "action": action,
        "target": target,
        "address": principal.address,
        "request_id": principal.request_id,
        "detail": detail,
    }
