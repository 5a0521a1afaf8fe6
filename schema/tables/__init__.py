"""The tables, one noun a file. Alembic compares the migrations with this metadata; queries are SQL in `schema/queries/`."""

from sqlmodel import SQLModel

from schema.tables.agents import Agent, AgentVersion, Configuration, DataSource, Pipeline, PipelineVersion, ToolRow
from schema.tables.batches import Batch, BatchLine
from schema.tables.benchmarks import Benchmark, BenchmarkIteration, BenchmarkResult
from schema.tables.certificates import AcmeAccount, AcmeChallenge, Certificate
from schema.tables.conversations import Conversation, ConversationItem
from schema.tables.datasets import BenchmarkItem, Dataset, DatasetItem
from schema.tables.documents import (
    Chunk,
    ChunkDraft,
    ChunkVector,
    Collection,
    Document,
    DocumentTotals,
    DocumentVersion,
    FileRemoval,
    VectorSpace,
)
from schema.tables.files import File
from schema.tables.identity.browser_sessions import BrowserSession, SignInCode
from schema.tables.identity.secrets import Credential, JobSecret, SigningKey
from schema.tables.identity.users import IdentityProvider, Login, RefreshToken, User
from schema.tables.jobs.checkpoints import Checkpoint, CheckpointBlob, CheckpointWrite
from schema.tables.jobs.jobs import Attempt, IdempotencyKey, Job, JobLog
from schema.tables.jobs.tool_effects import ToolEffect
from schema.tables.schedules import Schedule, ScheduleRun
from schema.tables.service_parts import ServiceCheck, ServicePart
from schema.tables.sessions.cached_answers import CachedAnswer
from schema.tables.sessions.feedback import Feedback, LearnedExample
from schema.tables.sessions.memories import MemoryRow
from schema.tables.sessions.sessions import Message, Session
from schema.tables.tenants.audit import AuditEntry
from schema.tables.tenants.performance import JobSample, PerformanceCount
from schema.tables.tenants.tallies import Tally, TallyMark
from schema.tables.tenants.tenants import ApiKey, EgressGrant, Grant, Tenant
from schema.tables.tenants.usage import Model, UsageDay, UsageRecord
from schema.tables.triggers import Trigger, TriggerCall
from schema.tables.webhooks import CallbackSecret, WebhookAttempt, WebhookDelivery, WebhookEndpoint

metadata = SQLModel.metadata
TENANT_TABLES = (
    *(ApiKey, EgressGrant, Grant, Session, Message, Job, Attempt, JobLog, IdempotencyKey),
    *(
        User,
        Login,
        RefreshToken,
        BrowserSession,
        SignInCode,
        IdentityProvider,
        Credential,
        JobSecret,
        UsageRecord,
        AuditEntry,
    ),
    *(Agent, AgentVersion, ToolRow, DataSource, Configuration, Pipeline, PipelineVersion),
    *(MemoryRow, CachedAnswer, Feedback, LearnedExample, ToolEffect),
    *(Tally, TallyMark, UsageDay, JobSample, PerformanceCount),
    *(Benchmark, BenchmarkIteration, BenchmarkResult, Schedule, ScheduleRun),
    *(Dataset, DatasetItem, BenchmarkItem, Batch, BatchLine, Conversation, ConversationItem),
    *(Collection, Document, DocumentVersion, ChunkDraft, Chunk, ChunkVector, DocumentTotals, FileRemoval, File),
    *(WebhookEndpoint, CallbackSecret, WebhookDelivery, WebhookAttempt, Trigger, TriggerCall),
)
THREAD_TABLES = (Checkpoint, CheckpointBlob, CheckpointWrite)
PLATFORM_TABLES = (
    *(Tenant, Model, SigningKey, VectorSpace, ServicePart, ServiceCheck),
    *(Certificate, AcmeAccount, AcmeChallenge),
)

__all__ = [
    "PLATFORM_TABLES",
    "TENANT_TABLES",
    "THREAD_TABLES",
    "AcmeAccount",
    "AcmeChallenge",
    "Agent",
    "AgentVersion",
    "ApiKey",
    "Attempt",
    "AuditEntry",
    "Batch",
    "BatchLine",
    "Benchmark",
    "BenchmarkItem",
    "BenchmarkIteration",
    "BenchmarkResult",
    "BrowserSession",
    "CachedAnswer",
    "CallbackSecret",
    "Certificate",
    "Checkpoint",
    "CheckpointBlob",
    "CheckpointWrite",
    "Chunk",
    "ChunkDraft",
    "ChunkVector",
    "Collection",
    "Configuration",
    "Conversation",
    "ConversationItem",
    "Credential",
    "DataSource",
    "Dataset",
    "DatasetItem",
    "Document",
    "DocumentTotals",
    "DocumentVersion",
    "EgressGrant",
    "Feedback",
    "File",
    "FileRemoval",
    "Grant",
    "IdempotencyKey",
    "IdentityProvider",
    "Job",
    "JobLog",
    "JobSample",
    "JobSecret",
    "LearnedExample",
    "Login",
    "MemoryRow",
    "Message",
    "Model",
    "PerformanceCount",
    "Pipeline",
    "PipelineVersion",
    "RefreshToken",
    "Schedule",
    "ScheduleRun",
    "ServiceCheck",
    "ServicePart",
    "Session",
    "SignInCode",
    "SigningKey",
    "Tally",
    "TallyMark",
    "Tenant",
    "ToolEffect",
    "ToolRow",
    "Trigger",
    "TriggerCall",
    "UsageDay",
    "UsageRecord",
    "User",
    "VectorSpace",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
    "metadata",
]
