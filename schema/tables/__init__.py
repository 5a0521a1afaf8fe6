"""The tables, one noun a file. Alembic compares the migrations with this metadata; queries are SQL in `schema/queries/`."""

from sqlmodel import SQLModel

from schema.tables.jobs import Attempt, IdempotencyKey, Job, JobLog
from schema.tables.records import AuditEntry, Model, UsageRecord
from schema.tables.secrets import Credential, JobSecret, SigningKey
from schema.tables.sessions import Message, Session
from schema.tables.tenants import ApiKey, Grant, Tenant
from schema.tables.users import IdentityProvider, Login, RefreshToken, User

metadata = SQLModel.metadata
TENANT_TABLES = (
    *(ApiKey, Grant, Session, Message, Job, Attempt, JobLog, IdempotencyKey),
    *(User, Login, RefreshToken, IdentityProvider, Credential, JobSecret, UsageRecord, AuditEntry),
)
PLATFORM_TABLES = (Tenant, Model, SigningKey)

__all__ = [
    "PLATFORM_TABLES",
    "TENANT_TABLES",
    "ApiKey",
    "Attempt",
    "AuditEntry",
    "Credential",
    "Grant",
    "IdempotencyKey",
    "IdentityProvider",
    "Job",
    "JobLog",
    "JobSecret",
    "Login",
    "Message",
    "Model",
    "RefreshToken",
    "Session",
    "SigningKey",
    "Tenant",
    "UsageRecord",
    "User",
    "metadata",
]
