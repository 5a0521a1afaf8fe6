"""What each tenant may reach: of what the operator's setting allows, only what a platform admin has granted to the tenant
for a use. Where the grants are stored is not known here.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx2

from schema.egress_uses import EgressUse
from schema.ttl_cache import TtlCache
from schema.vault import PLATFORM
from tools.egress.client import open_client
from tools.egress.policy import EgressPolicy
from tools.egress.transport import EgressTransport

ReadGrants = Callable[[UUID], Awaitable[Mapping[EgressUse, Sequence[str]]]]
"""Returns what a tenant was granted, by use."""

MAX_TENANTS = 10_000
TTL_S = 1.0


class TenantEgress:
    """The policies of all tenants, and clients that keep to them. Close it when done.

    Tenants that were granted the same share a client.
    """

    def __init__(self, policy: EgressPolicy, read_grants: ReadGrants) -> None:
        self._policy, self._read_grants = policy, read_grants
        self._grants: TtlCache[UUID, Mapping[EgressUse, Sequence[str]]] = TtlCache(MAX_TENANTS, TTL_S)
        self._clients: dict[tuple[EgressPolicy, float | None, int | None], httpx2.AsyncClient] = {}
        self._transports: dict[EgressPolicy, EgressTransport] = {}

    async def hosts(self, tenant_id: UUID, use: EgressUse) -> Sequence[str]:
        """Return what a tenant was granted for a use. Raises Unavailable."""
        found = await self._grants.load(tenant_id, lambda: self._read_grants(tenant_id))
        return found.get(use, ())

    async def policy(self, tenant_id: UUID, use: EgressUse) -> EgressPolicy:
        """Return what a tenant may reach for a use; the platform's own tenant is the operator's. Raises Unavailable."""
        if tenant_id == PLATFORM:
            return self._policy
        return self._policy.for_tenant(await self.hosts(tenant_id, use))

    async def client(
        self, tenant_id: UUID, use: EgressUse, *, timeout_s: float | None = None, max_bytes: int | None = None
    ) -> httpx2.AsyncClient:
        """Return a client that keeps to the tenant's policy; don't close it. Raises Unavailable."""
        policy = await self.policy(tenant_id, use)
        key = (policy, timeout_s, max_bytes)
        if key not in self._clients:
            self._clients[key] = open_client(policy, max_bytes=max_bytes, timeout_s=timeout_s)
        return self._clients[key]

    async def transport(self, tenant_id: UUID, use: EgressUse, **limits: Any) -> EgressTransport:
        """Return a transport that keeps to the tenant's policy and to `limits` (fields of EgressPolicy); don't close it."""
        policy = replace(await self.policy(tenant_id, use), **limits)
        if policy not in self._transports:
            self._transports[policy] = EgressTransport(policy)
        return self._transports[policy]

    def forget(self, tenant_id: UUID | None) -> None:
        """Read a tenant's grants anew, or those of all."""
        self._grants.clear() if tenant_id is None else self._grants.discard(tenant_id)

    async def aclose(self) -> None:
        """Close all clients."""
        for opened in (*self._clients.values(), *self._transports.values()):
            await opened.aclose()
