"""Records who changed what, and from where, in the audit log of the tenant that was changed."""

from typing import Any
from uuid import UUID

from api.auth.principals import Principal
from schema.postgres.connections import Db
from schema.queries.tenants.audit import add_audit, add_platform_audit


async def record(
    db: Db, principal: Principal, tenant_id: UUID, action: str, target: str, detail: dict[str, Any] | None = None
) -> None:
    """Add a row to the tenant's audit log; `db` is a transaction of that tenant. `detail` must hold no secrets."""
    await add_audit(db, tenant_id, **_entry(principal, action, target, detail))


async def record_also_for_platform(
    db: Db, principal: Principal, tenant_id: UUID, action: str, target: str, detail: dict[str, Any] | None = None
) -> None:
    """Like `record`, and also in the platform's audit log, which outlives the tenant."""
    entry = _entry(principal, action, target, detail)
    await add_audit(db, tenant_id, **entry)
    await add_platform_audit(db, tenant_id, **entry)


def _entry(principal: Principal, action: str, target: str, detail: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "actor": principal.actor,
        "action": action,
        "target": target,
        "address": principal.address,
        "request_id": principal.request_id,
        "detail": detail,
    }
