"""Reads the files that are attached to messages, as documents are read: in sandboxed child processes. The first file opens what
that needs, since few chats have one."""

import asyncio
import base64
import hashlib
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

import msgspec

from graphs.providers.contract import FilePart, Message, Part
from graphs.runner import ChatRun
from schema.errors import FileUnreadable, InputError
from schema.postgres.connections import Pool, tenant_tx
from schema.queries.documents.documents import StoredVersion, find_stored_version
from schema.queries.files.files import StoredFile, find_file
from schema.queries.jobs.attempts import ClaimedJob
from schema.ttl_cache import TtlCache
from tools.documents.blocks import Unreadable
from tools.documents.chunking import MAX_CHARACTERS, ChunkSettings
from tools.documents.read_document import ReadDocument
from tools.documents.reader_pool import ReaderPool
from workers.storage.contract import Storage
from workers.storage.factory import open_storage
from workers.storage.settings import StorageSettings

WHOLE = ChunkSettings(characters=MAX_CHARACTERS, overlap=0)
MAX_TEXT = 400_000
"""Characters of one file that are shown to a model; more is cut, and the model is told."""
CACHED_CHARS = 16_000_000
CACHE_TTL_S = 900.0
"""A session's next questions are about the same files."""


class AttachedFiles:
    """Opened once per worker process, and closed with it."""

    def __init__(self, pool: Pool, storage: StorageSettings) -> None:
        self._pool, self._settings = pool, storage
        self._stack = AsyncExitStack()
        self._storage: Storage | None = None
        self._reader: ReaderPool | None = None
        self._opening = asyncio.Lock()
        self._texts: TtlCache[bytes, str] = TtlCache(CACHED_CHARS, CACHE_TTL_S, weigh=len)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def read(self, job: ClaimedJob, run: ChatRun) -> ChatRun:
        """Return the run with the texts of its files. Raises InputError if one of the question's can't be read or is gone; of
        earlier ones the model is told so."""
        if not any(isinstance(part, FilePart) for message in run.messages for part in message.parts):
            return run
        return replace(run, messages=[await self._with_texts(job, message, run) for message in run.messages])

    async def _with_texts(self, job: ClaimedJob, message: Message, run: ChatRun) -> Message:
        is_question = message is next((one for one in reversed(run.messages) if one.role == "user"), None)
        parts: list[Part] = [
            msgspec.structs.replace(part, text=await self._text_or_reason(job, part, is_question=is_question))
            if isinstance(part, FilePart)
            else part
            for part in message.parts
        ]
        return msgspec.structs.replace(message, parts=tuple(parts))

    async def _text_or_reason(self, job: ClaimedJob, part: FilePart, *, is_question: bool) -> str:
        try:
            return await self._text(job, part)
        except InputError as error:
            if is_question:
                raise
            return f"[{error.message}]"

    async def _text(self, job: ClaimedJob, part: FilePart) -> str:
        if part.document_id or part.file_id:
            stored = await self._find(job, part)
            return await self._texts.load(stored.sha256, lambda: self._read_stored(stored))
        content = base64.b64decode(part.data)
        return await self._texts.load(hashlib.sha256(content).digest(), lambda: self._read_content(part.name, content))

    async def _find(self, job: ClaimedJob, part: FilePart) -> StoredVersion | StoredFile:
        async with tenant_tx(self._pool, job.tenant_id, user_id=job.user_id) as db:
            if part.file_id:
                stored = await find_file(db, job.tenant_id, UUID(part.file_id))
            else:
                stored = await find_stored_version(db, job.tenant_id, UUID(part.document_id))
        if stored is None:
            what = "file" if part.file_id else "document"
            raise InputError(f"The attached {what} {part.name!r} was deleted. Attach another.", field="attachments")
        return stored

    async def _read_stored(self, stored: StoredVersion | StoredFile) -> str:
        storage, _ = await self._opened()
        async with storage.local_path(stored.stored_as) as path:
            return await self._read_file(path, stored.name)

    async def _read_content(self, name: str, content: bytes) -> str:
        storage, _ = await self._opened()
        async with storage.staging.temporary_folder() as folder:
            path = folder / "attachment"
            path.write_bytes(content)
            return await self._read_file(path, name)

    async def _read_file(self, path: Path, name: str) -> str:
        _, reader = await self._opened()
        try:
            document = await reader.read(path, name, WHOLE)
        except Unreadable as error:
            message = f"The attached file {name!r} can't be read: {error.message}"
            raise FileUnreadable(message, code=error.code, field="attachments") from None
        return _as_text(document)

    async def _opened(self) -> tuple[Storage, ReaderPool]:
        async with self._opening:
            if self._storage is None:
                self._storage = await self._stack.enter_async_context(open_storage(self._settings))
            if self._reader is None:
                self._reader = await self._stack.enter_async_context(ReaderPool(slots=1))
        return self._storage, self._reader


def _as_text(document: ReadDocument) -> str:
    """Return a file's text, below its headings where they change."""
    parts, heading = list[str](), ""
    for chunk in document.chunks:
        if chunk.heading and chunk.heading != heading and not chunk.text.startswith(chunk.heading.split(" > ")[-1]):
            parts.append(chunk.heading)
        heading = chunk.heading
        parts.append(chunk.text)
    text = "\n\n".join(parts)
    notes = "".join(f"\n\n[{note}]" for note in document.notes)
    if len(text) > MAX_TEXT:
        return f"{text[:MAX_TEXT]}\n\n[cut: the file has {len(text):,} characters]{notes}"
    return text + notes
