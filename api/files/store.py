"""Receives one file and keeps it: bytes into the storage, then its row, in one transaction that counts them against the
tenant's storage. If the process dies in between, the bytes are deleted an hour later
(`schema/queries/documents/file_removals.py`)."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from api.auth.principals import Principal
from api.documents.upload.fields import NAMELESS
from api.documents.upload.receive import receive_form
from api.http.bodies.json_body import JsonRequest
from api.resources import Resources
from schema.errors import HeadraceError, InputError
from schema.ids import new_id
from schema.postgres.batch import run_batch
from schema.queries.documents.uploads import find_free_storage, schedule_removals
from schema.queries.files.files import add_file
from schema.queries.jobs.submissions import REFUSALS
from schema.queries.sessions.archives import PURPOSE as ARCHIVE
from tools.documents.blocks import Unreadable
from tools.documents.display_names import clean_name
from tools.documents.media_types import detect
from workers.storage.contract import new_name
from workers.storage.removals import delete_unused_files
from workers.uploads.batch import Batch, ReceivedFile

MAX_NAME = 300
ANY_TYPE = "application/octet-stream"
MIN_TTL_S, MAX_TTL_S = 3600, 30 * 24 * 3600
PURPOSES = ("assistants", "batch", "batch_output", "evals", "fine-tune", "user_data", "vision")
LISTED = (*PURPOSES, ARCHIVE)
"""What files may be for; archives of sessions are not uploaded."""


@dataclass(frozen=True)
class FileFields:
    """What a form says of its file: `ttl_s` is how long it is kept, None for ever."""

    purpose: str
    ttl_s: int | None


async def receive_file(resources: Resources, principal: Principal, request: JsonRequest) -> UUID:
    """Keep the file of a form and return its id. Raises InputError, StorageFull, UploadTooLarge, Unavailable; then nothing is
    kept."""
    async with principal.tx(resources.core.pool) as db:
        space = await find_free_storage(db, principal.tenant_id)
    async with resources.storage.staging.temporary_folder() as folder:
        batch = Batch(folder, resources.settings.uploads, space)
        fields = _read_fields(await receive_form(request, batch))
        if batch.refused:
            raise InputError(batch.refused[0].message, field="file")
        if len(batch.received) != 1:
            raise InputError("Send one file, as the part `file` of a form, with its `filename`.", field="file")
        if not batch.received[0].name:
            raise InputError(f"The file has no name. {NAMELESS}", field="file")
        return await keep_file(resources, principal, batch.received[0], fields)


async def keep_file(resources: Resources, principal: Principal, file: ReceivedFile, fields: FileFields) -> UUID:
    """Keep a received file and return its id. Raises StorageFull, Unavailable."""
    file_id, stored_as, tenant_id = new_id(), new_name(principal.tenant_id), principal.tenant_id
    values: dict[str, Any] = {"id": file_id, "user_id": principal.user_id, "name": clean_name(file.name)[:MAX_NAME]}
    values |= {"purpose": fields.purpose, "ttl_s": fields.ttl_s, "size_bytes": file.size, "sha256": file.sha256}
    values |= {"stored_as": stored_as, "media_type": await asyncio.to_thread(_media_type, file)}
    async with principal.tx(resources.core.pool) as db:
        await schedule_removals(db, tenant_id, [stored_as])
    try:
        await resources.storage.put(stored_as, file.path)
        await run_batch(resources.core.pool, tenant_id, add_file(tenant_id, values))
    except (HeadraceError, psycopg.Error) as error:
        removal = delete_unused_files(resources.core.pool, resources.storage, tenant_id, [stored_as])
        resources.background.run(removal, "file-forgotten")
        refusal = REFUSALS.get(getattr(error, "sqlstate", None) or "")
        raise (refusal() if refusal else error) from error
    return file_id


def _media_type(file: ReceivedFile) -> str:
    """Return the type that the bytes have; unknown ones are kept too."""
    try:
        with file.path.open("rb") as opened:
            return detect(opened, file.name).media_type
    except Unreadable:
        return ANY_TYPE


def _read_fields(form: list[tuple[str, str]]) -> FileFields:
    """Raises InputError for a field that is missing, repeated, unknown or wrong."""
    fields = dict(form)
    known = {"purpose", "expires_after[anchor]", "expires_after[seconds]"}
    for name, _ in form:
        if name in ("file", "files"):
            raise InputError(f"{name} is a text field, not a file. {NAMELESS}", field=name)
        if name not in known:
            raise InputError(f"Unknown field {name[:80]}. Known fields: file, purpose, expires_after.", field=name[:80])
    if len(fields) < len(form):
        raise InputError("Each field may be there once.", field=form[-1][0])
    purpose = fields.get("purpose", "")
    if purpose not in PURPOSES:
        raise InputError(f"purpose must be one of {', '.join(PURPOSES)}.", field="purpose")
    return FileFields(purpose, _read_ttl(fields))


def _read_ttl(fields: dict[str, str]) -> int | None:
    anchor, seconds = fields.get("expires_after[anchor]"), fields.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise InputError("expires_after.anchor must be created_at.", field="expires_after.anchor")
    if (
        not (seconds or "").isascii()
        or not (seconds or "").isdigit()
        or not MIN_TTL_S <= int(seconds or 0) <= MAX_TTL_S
    ):
        raise InputError(
            f"expires_after.seconds must be from {MIN_TTL_S:,} to {MAX_TTL_S:,}.", field="expires_after.seconds"
        )
    return int(seconds or 0)
