"""One file, from its bytes to passages that are searched."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence

import structlog

from schema.db import tenant_tx
from schema.errors import NotFound
from schema.events import DocumentReady, Event, JobProgress
from schema.queries.documents import ingestion as queries
from schema.queries.documents.document_publish import Facts, SpaceChanged, publish
from schema.queries.documents.ingestion import ClaimedFile, Draft, File
from tools.documents.blocks import Unreadable
from tools.documents.chunking import Chunk, ChunkSettings
from tools.documents.read_document import ReadDocument
from workers.ingestion.context import IngestionContext

log = structlog.get_logger()

AT_ONCE = 32
"""Texts that are embedded and drafted together: what a killed worker loses at most, of each file, twice."""
AHEAD = 2
COPIED_AT_ONCE = 500
TELL_S = 2.0
LOOKED_AT = 400
BETWEEN_HEADINGS = " > "


class FileLeaseLost(Exception):
    """The file is no longer this attempt's: it was cancelled or deleted, or another attempt has the job."""


class FileRun:
    """Makes a version of a document live that its attempt has claimed; `row` is what `claim_file` returned."""

    def __init__(self, context: IngestionContext, file: File, row: ClaimedFile, emit: Callable[[Event], None]) -> None:
        self._context, self._file, self._row, self._emit = context, file, row, emit
        self._told_at = 0.0
        self._drafted = 0
        self.embedded_characters = 0

    async def run(self) -> DocumentReady | None:
        """Return what is to be told; None when the collection's embedder was changed meanwhile, and the file waits again.

        Raises Unreadable with the reason for the person who uploaded it, Lost, and what stores and providers raise.
        """
        document = await self._read()
        drafts = drafts_of(document.chunks)
        space = await self._context.embedders.space_of(self._row.embedder)
        missing = await self._begin(document, drafts, space)
        self._drafted = len(drafts) - len(missing)
        missing = await self._copy(missing, space)
        await self._embed(missing, len(drafts), space)
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
        """Note what the file was cut into; return what an earlier attempt has not drafted."""
        async with tenant_tx(self._context.pool, self._file.tenant_id) as db:
            done = await queries.begin_drafts(
                db, self._file, space=space, drafts=drafts, notes=document.notes, media_type=document.media_type
            )
        if done is None:
            raise FileLeaseLost
        return [draft for draft in drafts if draft.place not in done]

    async def _copy(self, missing: list[Draft], space: int) -> list[Draft]:
        """Draft what was embedded before; return what is left."""
        known = set[int]()
        for begin in range(0, len(missing), COPIED_AT_ONCE):
            some = missing[begin : begin + COPIED_AT_ONCE]
            async with tenant_tx(self._context.pool, self._file.tenant_id) as db:
                known |= await queries.add_known(db, self._file, space=space, drafts=some)
        self._drafted += len(known)
        return [draft for draft in missing if draft.place not in known]

    async def _embed(self, missing: Sequence[Draft], total: int, space: int) -> None:
        """Embed and draft what is left; while one batch is written, the next is embedded."""
        gate = asyncio.Semaphore(AHEAD)
        try:
            async with asyncio.TaskGroup() as group:
                for batch in batches_of(missing):
                    await gate.acquire()
                    task = group.create_task(self._embed_batch(batch, total, space))
                    task.add_done_callback(lambda _: gate.release())
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _embed_batch(self, batch: dict[bytes, list[Draft]], total: int, space: int) -> None:
        texts = [embedded_text(drafts[0].heading, drafts[0].text) for drafts in batch.values()]
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
        self._tell(total)

    def _tell(self, total: int) -> None:
        now = time.monotonic()
        if now - self._told_at >= TELL_S:
            self._told_at = now
            text = f"{self._row.name}: {self._drafted} of {total} passages"
            document_id = str(self._file.document_id)
            self._emit(JobProgress(text=text, done=self._drafted, total=total, document_id=document_id))

    async def _publish(self, document: ReadDocument, chunks: int, space: int) -> DocumentReady | None:
        file = self._file
        facts = Facts(document.title, document.language, document.pages, document.characters, chunks)
        try:
            async with tenant_tx(self._context.pool, file.tenant_id) as db:
                embedded = await publish(db, file, self._row.collection_id, facts, space=space)
        except SpaceChanged:
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


def embedded_text(heading: str, text: str) -> str:
    """What is embedded of a chunk: its text under the headings that it stands below, those left out that it begins with."""
    begins = {line.strip() for line in text[:LOOKED_AT].split("\n")}
    above = [part for part in heading.split(BETWEEN_HEADINGS) if part and part not in begins]
    return f"{BETWEEN_HEADINGS.join(above)}\n{text}" if above else text


def drafts_of(chunks: Sequence[Chunk]) -> list[Draft]:
    """The chunks as they are stored, each with the digest of what is embedded of it."""
    return [
        Draft(
            place=place,
            text=chunk.text,
            heading=chunk.heading,
            page=chunk.page,
            page_end=chunk.page_end,
            start=chunk.start,
            stop=chunk.end,
            digest=hashlib.blake2b(embedded_text(chunk.heading, chunk.text).encode(), digest_size=16).digest(),
        )
        for place, chunk in enumerate(chunks)
    ]


def batches_of(drafts: Sequence[Draft]) -> Iterator[dict[bytes, list[Draft]]]:
    """Drafts by digest, AT_ONCE texts together: a text that comes again in the file is embedded once."""
    by_digest: dict[bytes, list[Draft]] = {}
    for draft in drafts:
        by_digest.setdefault(draft.digest, []).append(draft)
    digests = list(by_digest)
    for begin in range(0, len(digests), AT_ONCE):
        yield {digest: by_digest[digest] for digest in digests[begin : begin + AT_ONCE]}
