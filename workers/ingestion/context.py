"""What ingestion needs of its worker process. Opened in `workers/context.py`, in workers that serve its queue."""

from dataclasses import dataclass

from schema.db import Pool
from tools.documents.reader_pool import ReaderPool
from workers.embedding.pool import EmbedderPool
from workers.storage.contract import Storage


@dataclass(frozen=True)
class IngestionContext:
    """Where files are, what reads and what embeds them. `pool` sees one tenant at a time."""

    pool: Pool
    storage: Storage
    reader: ReaderPool
    embedders: EmbedderPool
