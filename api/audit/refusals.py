"""Records in the audit log what callers tried to change without having the right: refused with 403.

Nobody can flood the log: in ten minutes, each API process writes at most `PER_CALLER` refusals of one caller and `PER_TENANT`
of a tenant; the next entry says how many were left out. Reading without the right is not recorded.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
import structlog
from litestar.types import Scope

from api.audit.log import record
from api.auth.principals import Principal
from api.resources import Resources
from schema.errors import Forbidden, HeadraceError
from schema.postgres.connections import tenant_tx
from schema.ttl_cache import TtlCache
from schema.vault import PLATFORM
from workers.logs import masked

log = structlog.get_logger()

ACTION = "request.refused"
READING = frozenset({"GET", "HEAD", "OPTIONS"})
WINDOW_S = 600.0
PER_CALLER = 10
PER_TENANT = 50
MAX_TENANTS = 10_000
MAX_TARGET = 300


@dataclass
class _Window:
    """What was written into one tenant's log since a moment, and what was left out since the last entry."""

    began_at: float
    written: Counter[str] = field(default_factory=Counter)
    left_out: int = 0


class RefusalBounds:
    """How many refusals a process may still write."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: TtlCache[UUID, _Window] = TtlCache(MAX_TENANTS)

    def admit(self, tenant_id: UUID, actor: str) -> int | None:
        """Count a refusal. Return how many were left out before it, or None to leave it out as well."""
        now = self._clock()
        window = self._windows.get_or_make(tenant_id, lambda: _Window(now))
        if now - window.began_at >= WINDOW_S:
            window.began_at, window.written = now, Counter()
        if window.written[actor] >= PER_CALLER or window.written.total() >= PER_TENANT:
            window.left_out += 1
            return None
        window.written[actor] += 1
        left_out, window.left_out = window.left_out, 0
        return left_out


async def record_refusal(error: Exception, scope: Scope) -> None:
    """Hook of the application that sees every error: record a refused change in the log of the caller's tenant; one that only
    admins may make also in the platform's. Raises nothing."""
    principal: Principal | None = scope.get("user")
    if not isinstance(error, Forbidden) or principal is None or scope.get("method") in READING:
        return
    state = scope["litestar_app"].state
    resources: Resources = state.resources
    bounds: RefusalBounds = state.refusals
    logs = {principal.tenant_id, PLATFORM} if _is_for_admins(scope) else {principal.tenant_id}
    for tenant_id in logs:
        left_out = bounds.admit(tenant_id, principal.actor)
        if left_out is not None:
            await _write(resources, principal, tenant_id, _target(scope), left_out)


def _is_for_admins(scope: Scope) -> bool:
    path: str = scope["path"]
    return path.startswith(("/api/admin/tenants", "/api/admin/models"))


def _target(scope: Scope) -> str:
    method: Any = scope.get("method")
    return masked(f"{method} {scope['path']}")[:MAX_TARGET]


async def _write(resources: Resources, principal: Principal, tenant_id: UUID, target: str, left_out: int) -> None:
    detail: dict[str, Any] = {"left_out": left_out} if left_out else {}
    if tenant_id != principal.tenant_id:
        detail["tenant_id"] = str(principal.tenant_id)
    try:
        async with tenant_tx(resources.core.pool, tenant_id) as db:
            await record(db, principal, tenant_id, ACTION, target, detail or None, result="denied")
    except (HeadraceError, psycopg.Error) as failure:
        log.warning("refusal_not_recorded", request_id=principal.request_id, error=type(failure).__name__)
