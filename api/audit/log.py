"""Records who changed what, and from where, in the audit log of the tenant that was changed."""

from typing import Any
from uuid import UUID

from api.auth.principals import Principal
from schema.postgres.connections import Db
from schema.queries.tenants.audit import add_audit, add_platform_audit
from schema.vault import PLATFORM


async def record(
    db: Db,
    principal: Principal,
    tenant_id: UUID,
    action: str,
    target: str,
    detail: dict[str, Any] | None = None,
    *,
    result: str = "ok",
) -> None:
    """Add a row to the tenant's audit log; `db` is a transaction of that tenant. `detail` must hold no secrets.

    What an admin does to a tenant is also in the platform's audit log, which outlives the tenant.
    """
    entry = {"actor": principal.actor, "action": action, "target": target, "result": result, "detail": detail}
    entry |= {"address": principal.address, "request_id": principal.request_id}
    await add_audit(db, tenant_id, **entry)
    if principal.role == "admin" and tenant_id != PLATFORM:
        await add_platform_audit(db, tenant_id, **entry | {"detail": {**(detail or {}), "tenant_id": str(tenant_id)}})
