"""The certificates that the API serves TLS with, and what getting them from a certificate authority (ACME) needs. No tenant's
data: they belong to the installation, as signing keys do."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import json, timestamp


class Certificate(Table, table=True):
    """A certificate of an origin (`uploaded`, `self_signed`, `requested`, `acme`) with its sealed private key. `chain` is PEM,
    the certificate itself first; without one it is waited for: its `csr` is to be signed, or a certificate authority is asked
    at `next_try_at`, which has failed `tries` times in a row, with `error` last. `warned_days` is the last threshold at
    which its end was told."""

    __tablename__ = "certificates"
    __table_args__ = (UniqueConstraint("name", name="certificates_name"),)

    id: UUID = Field(primary_key=True)
    name: str
    origin: str
    names: list[str] = json(nullable=False)
    chain: str | None = None
    csr: str | None = None
    key_id: str
    sealed: bytes
    key_kind: str
    issuer: str | None = None
    fingerprint: str | None = None
    not_before: datetime | None = timestamp()
    not_after: datetime | None = timestamp()
    tries: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    next_try_at: datetime | None = timestamp()
    error: str | None = None
    warned_days: int | None = None
    created_at: datetime = timestamp(default=True)
    updated_at: datetime = timestamp(default=True)


class AcmeAccount(Table, table=True):
    """Our account at a certificate authority, by the address of its directory; `sealed` is the account's key."""

    __tablename__ = "acme_accounts"
    __table_args__ = (UniqueConstraint("directory", name="acme_accounts_directory"),)

    id: UUID = Field(primary_key=True)
    directory: str
    account: dict[str, Any] = json(nullable=False)
    key_id: str
    sealed: bytes
    created_at: datetime = timestamp(default=True)


class AcmeChallenge(Table, table=True):
    """What the API answers to a certificate authority that asks for a token, until it expires."""

    __tablename__ = "acme_challenges"

    token: str = Field(primary_key=True)
    answer: str
    expires_at: datetime = timestamp(nullable=False)
