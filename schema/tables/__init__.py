"""The tables, one noun a file. Alembic compares the migrations with this metadata; queries are SQL in `schema/queries/`."""

from sqlmodel import SQLModel

from schema.tables.jobs import Attempt, IdempotencyKey, Job, JobLog
from schema.tables.sessions import Message, Session
from schema.tables.tenants import ApiKey, Tenant

metadata = SQLModel.metadata
TENANT_TABLES = (ApiKey, Session, Message, Job, Attempt, JobLog, IdempotencyKey)

__all__ = [
    "TENANT_TABLES",
    "ApiKey",
    "Attempt",
    "IdempotencyKey",
    "Job",
    "JobLog",
    "Message",
    "Session",
    "Tenant",
    "metadata",
]
