"""People for tests: users with a password, their sign-ins, and identity providers that vouch for others."""

import time
import warnings
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import KeySet, RSAKey
from psycopg.rows import dict_row

from api.auth.passwords import hash_password
from api.auth.tokens.external_tokens import ExternalTokens
from schema.ids import new_id
from tests.conftest import TestTenant

PASSWORD = "seven mill wheels"

hashed = cache(hash_password)


def make_user(
    database_url: str,
    tenant_id: UUID,
    email: str | None = None,
    *,
    role: str = "member",
    state: str = "active",
    password: str | None = PASSWORD,
) -> UUID:
    """Make a user and return their id."""
    user_id = new_id()
    with psycopg.connect(database_url) as db:
        db.execute(
            """INSERT INTO users (tenant_id, id, email, name, role, state, password_hash)
              VALUES (%s, %s, %s, 'Ada', %s, %s, %s)""",
            (tenant_id, user_id, email or some_email(), role, state, hashed(password) if password else None),
        )
    return user_id


def some_email() -> str:
    return f"{uuid4().hex[:12]}@example.com"


async def log_in(api: httpx.AsyncClient, tenant: TestTenant, email: str, password: str = PASSWORD) -> httpx.Response:
    """Sign in and return the answer."""
    return await api.post("/api/auth/login", json={"tenant": tenant.slug, "email": email, "password": password})


async def signed_in(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant, *, role: str = "member"
) -> dict[str, Any]:
    """Make a user of this role, sign them in, and return what the API said."""
    email = some_email()
    make_user(database_url, tenant.id, email, role=role)
    answer = await log_in(api, tenant, email)
    assert 200 == answer.status_code, answer.text
    return answer.json()


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def status_of(api: httpx.AsyncClient, secret: str) -> int:
    """Return what somebody hears who asks with this key or token who they are."""
    return (await api.get("/api/auth/me", headers=bearer(secret))).status_code


def audit_entries(database_url: str, tenant_id: UUID, action: str) -> list[dict[str, Any]]:
    """Return what the audit log of a tenant has of an action, oldest first."""
    with psycopg.connect(database_url, row_factory=dict_row) as db:
        sql = "SELECT * FROM audit_log WHERE tenant_id = %s AND action = %s ORDER BY id"
        return db.execute(sql, (tenant_id, action)).fetchall()


class Issuer:
    """An identity provider with one key, and what its tokens say unless a test says otherwise."""

    def __init__(self, *, bits: int = 2048) -> None:
        self.url = f"https://{uuid4().hex}.example.com"
        self.key = make_key("first", bits=bits)
        self.published = [self.key]
        self.asked = 0

    def token(self, header: dict[str, Any] | None = None, key: RSAKey | None = None, **claims: Any) -> str:
        """Return a token; a claim or a header that is None is left out."""
        now, key = int(time.time()), key or self.key
        said = {"iss": self.url, "aud": "headrace-clients", "sub": "ada", "iat": now, "exp": now + 600, **claims}
        head = {"alg": "RS256", "typ": "JWT", "kid": key.kid, **(header or {})}
        return jwt.encode(
            {name: value for name, value in head.items() if value is not None},
            {name: value for name, value in said.items() if value is not None},
            key,
            algorithms=["RS256"],
            default_type=None,
        )

    def register(self, database_url: str, tenant_id: UUID, **columns: Any) -> UUID:
        """Let this issuer vouch for the people of a tenant and return the provider's id."""
        row = {"audience": "headrace-clients", "jwks_url": f"{self.url}/keys", "role": "member", "sign_up": True}
        row |= {"tenant_id": tenant_id, "id": new_id(), "name": f"idp-{uuid4().hex[:8]}", "issuer": self.url, **columns}
        with psycopg.connect(database_url) as db:
            places = ", ".join(f"%({name})s" for name in row)
            db.execute(f"INSERT INTO identity_providers ({', '.join(row)}) VALUES ({places})", row)
        return row["id"]

    async def get(self, url: str, tenant_id: UUID | None = None) -> KeySet:
        return KeySet([key for key in self.published[:1] if url.startswith(self.url)])

    async def refetch(self, url: str, tenant_id: UUID | None = None) -> KeySet:
        self.asked += 1
        return KeySet([key for key in self.published if url.startswith(self.url)])

    async def discover(self, issuer: str, tenant_id: UUID | None = None) -> dict[str, Any]:
        return {"issuer": issuer, "jwks_uri": f"{self.url}/discovered"}


def trust(api: httpx.AsyncClient, issuer: Issuer) -> None:
    """Let the application that `api` calls find the keys of `issuer`, instead of fetching them."""
    resources = api._transport.app.state.resources
    resources.tokens.external = ExternalTokens(resources.core.pool, issuer)


def make_key(kid: str, *, bits: int = 2048) -> RSAKey:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # a weak key is what some tests are about
        return RSAKey.generate_key(bits, {"kid": kid, "use": "sig", "alg": "RS256"})
