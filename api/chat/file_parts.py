"""Files in the messages of OpenAI's and Anthropic's APIs, as these messages carry them after their API has been left behind:

    {"type": "file", "file": {"filename": …, "file_data": base64 or a data: URL}}   or   {"file": {"file_id": "file-…"}}

They are read as attachments of `POST /api/chat` are (`attachments.py`): a picture is shown to the model, of others the text is
read. One that must be a picture says so: {"file": {"file_id": …, "is_picture": true}}, with its `detail`. Where the
file came in another field than here, `at` names it, and `data_at` that of its base64. A file of a stored conversation has the
`item_id` of its item.
"""

import base64
import mimetypes
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from api.auth.principals import Principal
from api.chat.attachments import MAX_ATTACHMENTS, SHOWN_PICTURES, read_content
from api.http.file_ids import no_file, parse_file_id
from api.resources import Resources
from schema.errors import Forbidden, InputError, NotFound
from schema.queries.files.files import StoredFile, find_file

Json = dict[str, Any]
MAX_PICTURE_BYTES = 20 * 1024 * 1024


async def with_files(
    resources: Resources, principal: Principal, messages: list[Json], *, field: str = "messages"
) -> list[Json]:
    """Return messages with their files as they are stored. Raises InputError, Forbidden and NotFound, which name the field."""
    if not any(True for _ in _files(messages)):
        return messages
    if sum(1 for _ in _files(messages)) > MAX_ATTACHMENTS:
        raise _too_many(messages, field)
    return [await _with_files(resources, principal, message, f"{field}[{i}]") for i, message in enumerate(messages)]


def unreadable_item(item_id: str, error: InputError) -> InputError:
    """Return the error for an item of a stored conversation that can't be shown to a model."""
    message = f"The conversation's item {item_id[:512]!r} can't be used: {error.message} Delete it to go on."
    return InputError(message, field="conversation")


def _too_many(messages: list[Json], field: str) -> InputError:
    if any("item_id" in part for part in _files(messages)):
        message = f"The conversation and {field} have more than {MAX_ATTACHMENTS} files together. Delete items of it."
        return InputError(message, field="conversation")
    return InputError(f"{field} must have at most {MAX_ATTACHMENTS} files together.", field=field)


def require_one_source(file: Json, field: str) -> None:
    """Raise InputError unless a file is sent either with its content or by its id."""
    data, file_id = file.get("file_data"), file.get("file_id")
    if bool(data) == bool(file_id):
        what = "has both file_data and a file_id" if data else "has neither file_data nor a file_id"
        raise InputError(f"{field} {what}. Send one: the file in base64, or the id of one of /v1/files.", field=field)


def said_chars(messages: Iterable[Json]) -> int:
    """Return how long messages are as JSON, without the bytes of their files: what is in those isn't known yet."""
    sent = list(messages)
    inside = sum(len(str(part.get("data") or part.get("file") or "")) for part in _files(sent, stored=True))
    return max(len(msgspec.json.encode(sent)) - inside, 0)


def _files(messages: list[Json], *, stored: bool = False) -> Iterator[Json]:
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            if part.get("type") == "file" and (stored or "file" in part):
                yield part


async def _with_files(resources: Resources, principal: Principal, message: Json, field: str) -> Json:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    parts = [
        _beside(part) | await _read_part(resources, principal, part, f"{field}.content[{i}].file")
        if "file" in part
        else part
        for i, part in enumerate(content)
    ]
    return {**message, "content": parts}


def _beside(part: Json) -> Json:
    """Return what a part has besides its file, such as marks for a vendor's cache."""
    return {name: value for name, value in part.items() if name not in ("type", "file", "at", "data_at", "item_id")}


async def _read_part(resources: Resources, principal: Principal, part: Json, field: str) -> Json:
    """Return a file as it is stored. In place of one of a stored conversation that was deleted since the model is told so."""
    item_id = part.get("item_id")
    if item_id is None:
        return await _read(resources, principal, part, part.get("at") or field)
    try:
        return await _read(resources, principal, part, "conversation")
    except NotFound:
        name = part["file"].get("filename") or part["file"]["file_id"]
        return {"type": "text", "text": f"[The attached file {name!r} was deleted.]"}
    except InputError as error:
        raise unreadable_item(item_id, error) from error


async def _read(resources: Resources, principal: Principal, part: Json, field: str) -> Json:
    file: Json = part["file"]
    require_one_source(file, field)
    data, data_field = file.get("file_data"), part.get("data_at") or f"{field}.file_data"
    if not data:
        return await _stored(resources, principal, file, f"{field}.file_id")
    head, comma, encoded = str(data).partition(",") if str(data).startswith("data:") else ("", "", str(data))
    if comma and not head.endswith(";base64"):
        raise InputError(f"{data_field} must be base64, alone or as a data: URL.", field=data_field)
    name = file.get("filename") or f"file{mimetypes.guess_extension(head[5:].partition(';')[0]) or ''}"
    return read_content(name, encoded, field, data_field)


async def _stored(resources: Resources, principal: Principal, file: Json, field: str) -> Json:
    file_id = file["file_id"]
    if "documents.read" not in principal.rights:
        message = "A file by its id requires the right 'documents.read', which your key does not have."
        raise Forbidden(message, field=field)
    async with principal.tx(resources.core.pool) as db:
        found = await find_file(db, principal.tenant_id, parse_file_id(file_id, field))
    if found is None:
        raise no_file(file_id, field)
    if found.media_type in SHOWN_PICTURES:
        return await _picture(resources, found, file.get("detail"), field)
    if file.get("is_picture"):
        message = f"{field} names a file of the type {found.media_type}; a picture must be PNG, JPEG, GIF or WebP."
        raise InputError(message, field=field)
    return {"type": "file", "name": found.name, "file_id": str(found.id)}


async def _picture(resources: Resources, found: StoredFile, detail: str | None, field: str) -> Json:
    """Return a picture as a client would have sent it: models and their providers have no access to files here."""
    if found.size_bytes > MAX_PICTURE_BYTES:
        raise InputError(
            f"{field} names a picture of more than {MAX_PICTURE_BYTES >> 20} MB, which no model takes.", field=field
        )
    content = b"".join([chunk async for chunk in resources.storage.read(found.stored_as)])
    url = f"data:{found.media_type};base64,{base64.b64encode(content).decode()}"
    return {"type": "image_url", "image_url": {"url": url, **({"detail": detail} if detail else {})}}
