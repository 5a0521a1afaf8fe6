"""The resources that ingestion needs. Opened in `workers/context.py`, in workers that serve its queue."""

from dataclasses import dataclass

from schema.postgres.connections import Pool
from tools.documents.reader_pool import ReaderPool
from tools.egress import TenantEgress
from workers.embedding.pool import EmbedderPool
from workers.storage.contract import Storage
from workers.stream.changes import Changes
from workers.uploads.limits import UploadLimits


@dataclass(frozen=True)
class IngestionContext:
    """Resources of an ingestion worker. `pool` has the role `headrace_app`. `uploads` limits what a job fetches;
    `changes` tells who watches."""

    pool: Pool
    storage: Storage
    reader: ReaderPool
    embedders: EmbedderPool
    egress: TenantEgress
    uploads: UploadLimits
    changes: Changes
