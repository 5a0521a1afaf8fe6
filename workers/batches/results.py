"""Writes the results of a batch as files and ends it: answers into one file, everything else into another, in one transaction
with the end. Whoever comes second finds it ended.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import msgspec
import psycopg
import structlog

from schema.errors import HeadraceError
from schema.ids import new_id
from schema.postgres.batch import Statement, run_batch
from schema.postgres.connections import tenant_tx
from schema.queries.batches import batches as queries
from schema.queries.batches.batches import Batch, BatchOutcome, EndedLine
from schema.queries.documents.uploads import schedule_removals
from schema.queries.files.files import add_file
from schema.queries.jobs.submissions import JobLost, read_refusal
from workers.batches.context import BatchContext
from workers.storage.contract import new_name
from workers.storage.removals import delete_unused_files

log = structlog.get_logger()

PAGE = 100
PURPOSE = "batch_output"
MEDIA_TYPE = "application/jsonl"
UNCALLED: dict[BatchOutcome, tuple[str, str]] = {
    "expired": ("batch_expired", "This request could not be executed before the completion window expired."),
    "cancelled": ("batch_cancelled", "This request was not executed: the batch was cancelled."),
    "failed": ("batch_failed", "This request was not executed: the batch failed. Its job says why."),
    "completed": ("batch_failed", "This request was not executed."),
}
"""What a line says that was never called, by how its batch ended."""


class _Details(msgspec.Struct, frozen=True):
    cached_tokens: int = 0
    reasoning_tokens: int = 0


class _Usage(msgspec.Struct, frozen=True):
    """Usage in the words of any of the routes."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    prompt_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Answered(msgspec.Struct, frozen=True):
    usage: _Usage | None = None


_decode = msgspec.json.Decoder(_Answered).decode


@dataclass
class _ResultFile:
    """A file while it is written."""

    path: Path
    opened: BinaryIO
    lines: int = 0
    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def write(self, line: bytes) -> None:
        self.opened.write(line)
        self.digest.update(line)
        self.size += len(line)
        self.lines += 1


@dataclass
class _Totals:
    completed: int = 0
    failed: int = 0
    uncalled: int = 0
    read: int = 0
    written: int = 0
    cached: int = 0
    reasoning: int = 0

    def add(self, answer: str) -> None:
        """Count the usage of an answer."""
        try:
            usage = _decode(answer).usage or _Usage()
        except msgspec.MsgspecError:  # a count that is none: the answer stays as it is
            return
        self.read += usage.prompt_tokens + usage.input_tokens
        self.read += usage.cache_read_input_tokens + usage.cache_creation_input_tokens  # Anthropic counts them apart
        self.written += usage.completion_tokens + usage.output_tokens
        self.cached += (usage.prompt_tokens_details or usage.input_tokens_details or _Details()).cached_tokens
        self.cached += usage.cache_read_input_tokens
        self.reasoning += (
            usage.completion_tokens_details or usage.output_tokens_details or _Details()
        ).reasoning_tokens

    def usage(self) -> dict[str, Any]:
        """Return the usage of all lines, as a batch says it."""
        return {
            "input_tokens": self.read,
            "input_tokens_details": {"cached_tokens": self.cached},
            "output_tokens": self.written,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.read + self.written,
        }


async def write_results(
    context: BatchContext,
    tenant_id: UUID,
    batch: Batch,
    outcome: BatchOutcome,
    errors: list[dict[str, Any]] | None = None,
) -> None:
    """End a batch with the results of its lines as files; one that has ended stays as it is. Raises StorageFull, Unavailable;
    then nothing has changed."""
    async with context.storage.staging.temporary_folder() as folder:
        with (folder / "output").open("wb") as output, (folder / "errors").open("wb") as failures:
            files = {
                "output": _ResultFile(folder / "output", output),
                "error": _ResultFile(folder / "errors", failures),
            }
            totals = await _write(context, tenant_id, batch, outcome, files)
        wanted = {name: file for name, file in files.items() if file.lines}
        await _commit(context, tenant_id, batch, outcome, wanted, totals, errors)


async def _write(
    context: BatchContext, tenant_id: UUID, batch: Batch, outcome: BatchOutcome, files: dict[str, _ResultFile]
) -> _Totals:
    totals, after = _Totals(), 0
    while True:
        async with tenant_tx(context.pool, tenant_id) as db:
            page = await queries.list_ended_lines(db, tenant_id, batch.id, after=after, limit=PAGE)
        for line in page:
            is_answered = line.status_code == 200
            files["output" if is_answered else "error"].write(result_line(batch.id, line, outcome))
            totals.completed += is_answered
            totals.failed += not is_answered
            totals.uncalled += line.status_code is None
            if is_answered and line.answer is not None:
                totals.add(line.answer)
        if len(page) < PAGE:
            return totals
        after = page[-1].place


def result_line(batch_id: UUID, line: EndedLine, outcome: BatchOutcome) -> bytes:
    """Return a line of a file of results, as OpenAI's API has it. The body is what the route answered, byte for byte."""
    response: dict[str, Any] | None = None
    error: dict[str, str] | None = None
    if line.status_code is None:
        code, message = UNCALLED[outcome]
        error = {"code": code, "message": message}
    else:
        body = msgspec.Raw((line.answer or "null").encode())
        response = {"status_code": line.status_code, "request_id": line.request_id, "body": body}
    said = {"id": f"batch_req_{batch_id.hex}_{line.place}", "custom_id": line.custom_id}
    return msgspec.json.encode({**said, "response": response, "error": error}) + b"\n"


async def _commit(
    context: BatchContext,
    tenant_id: UUID,
    batch: Batch,
    outcome: BatchOutcome,
    files: dict[str, _ResultFile],
    totals: _Totals,
    errors: list[dict[str, Any]] | None,
) -> None:
    pool, storage = context.pool, context.storage
    names = {which: new_name(tenant_id) for which in files}
    ids = {which: new_id() for which in files}
    first, last = queries.end_batch(
        tenant_id,
        batch.id,
        outcome,
        completed=totals.completed,
        failed=totals.failed,
        uncalled=totals.uncalled,
        usage=totals.usage(),
        output_file_id=ids.get("output"),
        error_file_id=ids.get("error"),
        errors=errors,
    )
    async with tenant_tx(pool, tenant_id) as db:
        await schedule_removals(db, tenant_id, list(names.values()))
    try:
        for which, file in files.items():
            await storage.put(names[which], file.path)
        added = _add_files(tenant_id, batch, files, names, ids)
        await run_batch(pool, tenant_id, [*first, *added, *last])
    except (HeadraceError, psycopg.Error) as error:
        await delete_unused_files(pool, storage, tenant_id, list(names.values()))
        refusal = read_refusal(error) if isinstance(error, psycopg.Error) else None
        if not isinstance(refusal, JobLost):
            raise (refusal or error) from error
        log.info("batch_ended_already", tenant_id=str(tenant_id), batch_id=str(batch.id))


def _add_files(
    tenant_id: UUID, batch: Batch, files: dict[str, _ResultFile], names: dict[str, str], ids: dict[str, UUID]
) -> Iterator[Statement]:
    for which, file in files.items():
        values: dict[str, Any] = {"id": ids[which], "user_id": batch.user_id, "stored_as": names[which]}
        values |= {"name": f"batch_{batch.id.hex}_{which}.jsonl", "purpose": PURPOSE, "media_type": MEDIA_TYPE}
        values |= {"size_bytes": file.size, "sha256": file.digest.digest(), "ttl_s": batch.output_ttl_s}
        yield from add_file(tenant_id, values)
