"""A browser for tests: keeps cookies, and goes to an identity provider and back by hand, one redirect at a time."""

from typing import Any
from uuid import UUID

import httpx
import psycopg

from schema.ids import new_id
from tests.conftest import TestTenant
from tests.counterparts.oidc_provider import CLIENT, OidcProvider
from tests.secret import VAULT
from tests.waiting import PATIENCE_S

ISSUER = "http://localhost:8000"


class Browser:
    """Somebody's browser; `home` is where it sees the application that `api` calls."""

    def __init__(self, api: httpx.AsyncClient, home: str = ISSUER) -> None:
        self.here = httpx.AsyncClient(transport=api._transport, base_url=home, timeout=PATIENCE_S)

    async def get(self, url: str) -> httpx.Response:
        return await self.here.get(url)

    async def begin(self, tenant: TestTenant, name: str = "idp", **query: str) -> str:
        """Begin to sign in; return where the provider's page is."""
        answer = await self.here.get(f"/api/auth/oidc/{tenant.slug}/{name}", params=query)
        assert 302 == answer.status_code, answer.text
        return answer.headers["location"]

    async def visit_provider(self, url: str) -> str:
        """Sign in at the provider; return where it sends the browser."""
        async with httpx.AsyncClient() as there:
            answer = await there.get(url)
        assert 302 == answer.status_code, answer.text
        return answer.headers["location"]

    async def sign_in(self, tenant: TestTenant, name: str = "idp", **query: str) -> httpx.Response:
        """Go all the way; return what the application says in the end."""
        return await self.get(await self.visit_provider(await self.begin(tenant, name, **query)))


def register(database_url: str, tenant: TestTenant, provider: OidcProvider, **columns: Any) -> UUID:
    """Let people of a tenant sign in at a provider, under the name `idp`; return its id."""
    provider_id = new_id()
    row: dict[str, Any] = {"tenant_id": tenant.id, "id": provider_id, "name": "idp", "issuer": provider.url}
    row |= {"audience": CLIENT, "client_id": CLIENT, "role": "member", "sign_up": True}
    if provider.secret is not None:
        sealed = VAULT.seal(provider.secret, tenant_id=tenant.id, owner_id=provider_id)
        row |= {"key_id": sealed.key_id, "sealed": sealed.sealed}
    row |= columns
    places = ", ".join(f"%({name})s" for name in row)
    with psycopg.connect(database_url) as db:
        # Of a provider of another test, which has gone and whose port was free again.
        db.execute("DELETE FROM identity_providers WHERE issuer = %(issuer)s AND audience = %(audience)s", row)
        db.execute(f"INSERT INTO identity_providers ({', '.join(row)}) VALUES ({places})", row)
    return provider_id
