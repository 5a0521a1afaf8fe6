"""Ingests one file: reads, chunks and embeds it, and publishes its passages."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog

from schema.errors import NotFound
from schema.events import DocumentReady, Event, JobProgress
from schema.metrics.catalog import INGESTION_STAGE
from schema.postgres.connections import tenant_tx
from schema.queries.documents import ingestion as queries
from schema.queries.documents.document_publish import DocumentFacts, EmbedderChanged, publish
from schema.queries.documents.ingestion import ClaimedFile, Draft, FileClaim
from schema.tracing import attributes as names
from schema.tracing.spans import span
from tools.documents.blocks import Unreadable
from tools.documents.chunking import Chunk, ChunkSettings
from tools.documents.read_document import ReadDocument
from workers.ingestion.context import IngestionContext

log = structlog.get_logger()

BATCH_TEXTS = 32
"""Texts that are embedded and drafted together. A killed worker loses up to CONCURRENT_BATCHES of them per file."""
CONCURRENT_BATCHES = 2
COPY_BATCH_CHUNKS = 500
PROGRESS_INTERVAL_S = 2.0
HEADING_SEARCH_CHARS = 400
HEADING_SEPARATOR = " > "


class FileLeaseLost(Exception):
    """The attempt no longer holds the file: it was cancelled or deleted, or another attempt has the job."""


@contextmanager
def measured_stage(stage: str) -> Iterator[None]:
    """Measure a stage of a file that succeeds, and trace it."""
    began = time.perf_counter()
    with span(stage):
        yield
    INGESTION_STAGE.of(stage).observe(time.perf_counter() - began)


class FileRun:
    """Ingests a claimed version of a document and makes it live; `row` is the result of `claim_file`."""

    def __init__(
        self, context: IngestionContext, file: FileClaim, row: ClaimedFile, emit: Callable[[Event], None]
    ) -> None:
        self._context, self._file, self._row, self._emit = context, file, row, emit
        self._reported_at = 0.0
        self._drafted = 0
        self.embedded_characters = 0

    async def run(self) -> DocumentReady | None:
        """Return the event to publish; None if the collection's embedder has changed meanwhile and the file was requeued.

        Raises Unreadable with a reason for the user, FileLeaseLost, and errors of stores and providers.
        """
        with span("ingest file", attributes={names.DOCUMENT: str(self._file.document_id)}):
            return await self._run()

    async def _run(self) -> DocumentReady | None:
        with measured_stage("read"):
            document = await self._read()
        drafts = make_drafts(document.chunks)
        space = await self._context.embedders.get_vector_space(self._row.embedder)
        missing = await self._begin(document, drafts, space)
        self._drafted = len(drafts) - len(missing)
        missing = await self._copy(missing, space)
        with measured_stage("embed"):
            await self._embed(missing, len(drafts), space)
        with measured_stage("publish"):
            return await self._publish(document, len(drafts), space)

    async def _read(self) -> ReadDocument:
        settings = ChunkSettings(self._row.chunk_characters, self._row.chunk_overlap)
        try:
            async with self._context.storage.local_path(self._row.stored_as) as path:
                document = await self._context.reader.read(path, self._row.name, settings)
        except NotFound:
            raise Unreadable("bytes_missing", "The file is no longer stored. Upload it again.") from None
        if not document.chunks:
            raise Unreadable("no_text", "No text was found in the file.")
        return document

    async def _begin(self, document: ReadDocument, drafts: Sequence[Draft], space: int) -> list[Draft]:
        """Record the file's chunks; return those that no earlier attempt has drafted."""
        async with tenant_tx(self._context.pool, self._file.tenant_id) as db:
            done = await queries.begin_drafts(
                db, self._file, space=space, drafts=drafts, notes=document.notes, media_type=document.media_type
            )
        if done is None:
            raise FileLeaseLost
        return [draft for draft in drafts if draft.place not in done]

    async def _copy(self, missing: list[Draft], space: int) -> list[Draft]:
        """Draft the chunks whose vectors are known; return the others."""
        known = set[int]()
        for start in range(0, len(missing), COPY_BATCH_CHUNKS):
            batch = missing[start : start + COPY_BATCH_CHUNKS]
            async with tenant_tx(self._context.pool, self._file.tenant_id) as db:
                known |= await queries.add_known(db, self._file, space=space, drafts=batch)
        self._drafted += len(known)
        return [draft for draft in missing if draft.place not in known]

    async def _embed(self, missing: Sequence[Draft], total: int, space: int) -> None:
        """Embed and draft the remaining chunks; while one batch is written, the next is embedded."""
        slots = asyncio.Semaphore(CONCURRENT_BATCHES)
        try:
            async with asyncio.TaskGroup() as group:
                for batch in make_batches(missing):
                    await slots.acquire()
                    task = group.create_task(self._embed_batch(batch, total, space))
                    task.add_done_callback(lambda _: slots.release())
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _embed_batch(self, batch: dict[bytes, list[Draft]], total: int, space: int) -> None:
        texts = [text_to_embed(drafts[0].heading, drafts[0].text) for drafts in batch.values()]
        batcher = self._context.embedders.get(self._row.embedder)
        vectors = await batcher.embed(texts, lane=str(self._file.tenant_id), purpose="passage")
        drafts = [draft for same in batch.values() for draft in same]
        async with tenant_tx(self._context.pool, self._file.tenant_id) as db:
            held = await queries.add_embedded(
                db, self._file, space=space, drafts=drafts, vectors=dict(zip(batch, vectors, strict=True))
            )
        if not held:
            raise FileLeaseLost
        self.embedded_characters += sum(map(len, texts))
        self._drafted += len(drafts)
        self._report_progress(total)

    def _report_progress(self, total: int) -> None:
        now = time.monotonic()
        if now - self._reported_at >= PROGRESS_INTERVAL_S:
            self._reported_at = now
            text = f"{self._row.name}: {self._drafted} of {total} passages"
            document_id = str(self._file.document_id)
            self._emit(JobProgress(text=text, done=self._drafted, total=total, document_id=document_id))

    async def _publish(self, document: ReadDocument, chunks: int, space: int) -> DocumentReady | None:
        file = self._file
        facts = DocumentFacts(document.title, document.language, document.pages, document.characters, chunks)
        try:
            async with tenant_tx(self._context.pool, file.tenant_id) as db:
                embedded = await publish(db, file, self._row.collection_id, facts, space=space)
        except EmbedderChanged:
            async with tenant_tx(self._context.pool, file.tenant_id) as db:
                await queries.requeue_file(db, file)
            return None
        if embedded is None:
            raise FileLeaseLost
        return DocumentReady(
            document_id=str(file.document_id),
            name=self._row.name,
            version=file.version,
            chunks=chunks,
            embedded=embedded,
            pages=document.pages,
            notes=list(document.notes),
        )


def text_to_embed(heading: str, text: str) -> str:
    """Return a chunk's text below its headings, without those headings that the text itself starts with."""
    first_lines = {line.strip() for line in text[:HEADING_SEARCH_CHARS].split("\n")}
    above = [part for part in heading.split(HEADING_SEPARATOR) if part and part not in first_lines]
    return f"{HEADING_SEPARATOR.join(above)}\n{text}" if above else text


def make_drafts(chunks: Sequence[Chunk]) -> list[Draft]:
    """Return the chunks as they are stored, each with the digest of its text to embed."""
    return [
        Draft(
            place=place,
            text=chunk.text,
            heading=chunk.heading,
            page=chunk.page,
            page_end=chunk.page_end,
            start=chunk.start,
            stop=chunk.end,
            digest=hashlib.blake2b(text_to_embed(chunk.heading, chunk.text).encode(), digest_size=16).digest(),
        )
        for place, chunk in enumerate(chunks)
    ]


def make_batches(drafts: Sequence[Draft]) -> Iterator[dict[bytes, list[Draft]]]:
    """Yield drafts by digest, BATCH_TEXTS texts at a time: a text that is repeated in the file is embedded once."""
    by_digest: dict[bytes, list[Draft]] = {}
    for draft in drafts:
        by_digest.setdefault(draft.digest, []).append(draft)
    digests = list(by_digest)
    for start in range(0, len(digests), BATCH_TEXTS):
        yield {digest: by_digest[digest] for digest in digests[start : start + BATCH_TEXTS]}
