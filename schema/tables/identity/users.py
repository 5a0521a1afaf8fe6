"""Users of a tenant, their sign-ins, and identity providers."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import tenant_key, timestamp, within_tenant


class User(Table, table=True):
    """A user. `email` is in lower case; `subject` is the user's id at the identity provider."""

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("tenant_id", "email", name="users_email"),
        UniqueConstraint("tenant_id", "provider_id", "subject", name="users_subject"),
        CheckConstraint("state IN ('active', 'disabled')", name="users_state"),
        CheckConstraint("role IN ('admin', 'owner', 'member', 'viewer')", name="users_role"),
    )

    tenant_id: UUID = tenant_key()
    id: UUID = Field(primary_key=True)
    email: str
    name: str = Field(sa_column_kwargs={"server_default": text("''")})
    role: str
    state: str = Field(sa_column_kwargs={"server_default": text("'active'")})
    password_hash: str | None = None
    provider_id: UUID | None = None
    subject: str | None = None
    created_at: datetime = timestamp(default=True)
    updated_at: datetime = timestamp(default=True)
    last_login_at: datetime | None = timestamp()
    budget_day_nanos: int | None = Field(default=None, sa_type=BigInteger)
    budget_month_nanos: int | None = Field(default=None, sa_type=BigInteger)
    tokens_per_day: int | None = Field(default=None, sa_type=BigInteger)


class Login(Table, table=True):
    """A sign-in of a user; its tokens are valid until it ends."""

    __tablename__ = "logins"
    __table_args__ = (
        within_tenant(["user_id"], "users", keys=["id"]),
        Index("logins_user", "tenant_id", "user_id"),
        Index("logins_expiry", "expires_at"),
    )

    tenant_id: UUID = tenant_key(references=False)
    id: UUID = Field(primary_key=True)
    user_id: UUID
    created_at: datetime = timestamp(default=True)
    expires_at: datetime = timestamp(nullable=False)
    revoked_at: datetime | None = timestamp()
    revoked_for: str | None = None
    address: str | None = None
    client: str | None = None


class RefreshToken(Table, table=True):
    """The SHA-256 of a refresh token. A token that is used again, more than seconds later, was stolen and ends the sign-in."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (within_tenant(["login_id"], "logins", keys=["id"]),)

    tenant_id: UUID = tenant_key(references=False)
    login_id: UUID = Field(primary_key=True)
    digest: str = Field(primary_key=True)
    created_at: datetime = timestamp(default=True)
    used_at: datetime | None = timestamp()


class IdentityProvider(Table, table=True):
    """An external identity provider of a tenant. (issuer, audience) is unique, so an issuer can't act for another tenant.
    `name` is part of its sign-in paths."""

    __tablename__ = "identity_providers"
    __table_args__ = (
        UniqueConstraint("issuer", "audience", name="identity_providers_issuer"),
        UniqueConstraint("tenant_id", "name", name="identity_providers_name"),
        CheckConstraint("role IN ('owner', 'member', 'viewer')", name="identity_providers_role"),
    )

    tenant_id: UUID = tenant_key()
    id: UUID = Field(primary_key=True)
    name: str
    issuer: str
    audience: str
    jwks_url: str | None = None
    client_id: str | None = None
    key_id: str | None = None
    sealed: bytes | None = None
    role: str = Field(sa_column_kwargs={"server_default": text("'member'")})
    role_claim: str | None = None
    sign_up: bool = Field(sa_column_kwargs={"server_default": text("true")})
    created_at: datetime = timestamp(default=True)
    created_by: str | None = None
