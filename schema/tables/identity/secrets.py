"""Encrypted secrets (`schema/vault.py`): provider keys, the callers' tokens of running jobs, and our signing keys."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import json, tenant_key, timestamp, within_tenant


class Credential(Table, table=True):
    """A tenant's key for a model provider."""

    __tablename__ = "credentials"
    __table_args__ = (UniqueConstraint("tenant_id", "service", name="credentials_service"),)

    tenant_id: UUID = tenant_key()
    id: UUID = Field(primary_key=True)
    service: str
    base_url: str | None = None
    key_id: str
    sealed: bytes
    created_at: datetime = timestamp(default=True)
    updated_at: datetime = timestamp(default=True)
    created_by: str | None = None
    tested_at: datetime | None = timestamp()
    test_code: str | None = None


class JobSecret(Table, table=True):
    """The token of a job's caller, for its tools. Deleted when the job ends."""

    __tablename__ = "job_secrets"
    __table_args__ = (within_tenant(["job_id"], "jobs", keys=["id"]),)

    tenant_id: UUID = tenant_key(references=False)
    job_id: UUID = Field(primary_key=True)
    key_id: str
    sealed: bytes


class SigningKey(Table, table=True):
    """A key for signing our tokens; `public` is its JWK. It signs from `signs_from` on, and verifies until `retires_at`."""

    __tablename__ = "signing_keys"

    id: UUID = Field(primary_key=True)
    public: dict[str, Any] = json(nullable=False)
    key_id: str
    sealed: bytes
    created_at: datetime = timestamp(default=True)
    signs_from: datetime = timestamp(default=True)
    retires_at: datetime | None = timestamp()
