"""Browsers that are signed in by cookie, and codes that sign one in once."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import tenant_key, timestamp, within_tenant


class BrowserSession(Table, table=True):
    """A browser that is signed in: with a sign-in or an API key, and no longer than that. `digest` is the SHA-256 of its
    cookie."""

    __tablename__ = "browser_sessions"
    __table_args__ = (
        within_tenant(["login_id"], "logins", keys=["id"]),
        within_tenant(["key_id"], "api_keys", keys=["id"]),
        CheckConstraint("num_nonnulls(login_id, key_id) = 1", name="browser_sessions_owner"),
        Index("browser_sessions_login", "tenant_id", "login_id"),
        Index("browser_sessions_key", "tenant_id", "key_id"),
        Index("browser_sessions_expiry", "expires_at"),
    )

    tenant_id: UUID = tenant_key(references=False)
    id: UUID = Field(primary_key=True)
    digest: str
    login_id: UUID | None = None
    key_id: UUID | None = None
    created_at: datetime = timestamp(default=True)
    expires_at: datetime = timestamp(nullable=False)


class SignInCode(Table, table=True):
    """The one code of an API key that signs a browser in, once; `digest` is its SHA-256."""

    __tablename__ = "sign_in_codes"
    __table_args__ = (
        within_tenant(["key_id"], "api_keys", keys=["id"]),
        Index("sign_in_codes_expiry", "expires_at"),
    )

    tenant_id: UUID = tenant_key(references=False)
    key_id: UUID = Field(primary_key=True)
    digest: str
    created_at: datetime = timestamp(default=True)
    expires_at: datetime = timestamp(nullable=False)
