"""Files that come with a message: within it, or as a document of the tenant. A worker reads them as documents are read
(`workers/agents/attachments.py`); pictures are shown to the model."""

import base64
import binascii
from io import BytesIO
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from api.auth.principals import Principal
from api.resources import Resources
from schema.errors import FileUnreadable, Forbidden, InputError, NotFound
from schema.queries.documents.documents import find_stored_version
from tools.documents.blocks import Unreadable
from tools.documents.display_names import clean_name
from tools.documents.media_types import detect

MAX_ATTACHMENTS = 20
MAX_NAME = 300
MAX_DATA = 30_000_000
SHOWN_PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""Pictures that models take; of others the text is read."""


class AttachmentIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A file that the message is about: `name` and `data`, or the `document_id` of a document."""

    name: Annotated[
        Annotated[str, Meta(min_length=1, max_length=MAX_NAME)] | None, Meta(description="The file's name.")
    ] = None
    data: Annotated[
        Annotated[str, Meta(min_length=1, max_length=MAX_DATA)] | None,
        Meta(description="The file in base64: any type that can be uploaded as a document."),
    ] = None
    document_id: Annotated[UUID | None, Meta(description="A document in place of `name` and `data`.")] = None


async def read_attachments(
    resources: Resources, principal: Principal, attachments: list[AttachmentIn]
) -> list[dict[str, Any]]:
    """Return attachments as parts of the stored message. Raises InputError, Forbidden and NotFound, which name the field."""
    return [
        await _document(resources, principal, one.document_id, f"attachments[{place}].document_id")
        if one.document_id is not None and one.data is None
        else _file(one, f"attachments[{place}]")
        for place, one in enumerate(attachments)
    ]


async def _document(resources: Resources, principal: Principal, document_id: UUID, field: str) -> dict[str, Any]:
    if "documents.read" not in principal.rights:
        raise Forbidden(
            "A document as an attachment requires the right 'documents.read', which your key does not have.",
            field=field,
        )
    async with principal.tx(resources.core.pool) as db:
        stored = await find_stored_version(db, principal.tenant_id, document_id)
    if stored is None:
        raise NotFound("No such document. GET /api/documents lists them.", field=field)
    return {"type": "file", "name": stored.name, "document_id": str(document_id)}


def _file(attachment: AttachmentIn, field: str) -> dict[str, Any]:
    if attachment.name is None or attachment.data is None or attachment.document_id is not None:
        raise InputError(f"{field} must have name and data, or else a document_id.", field=field)
    return read_content(attachment.name, attachment.data, field, f"{field}.data")


def read_content(name: str, data: str, field: str, data_field: str) -> dict[str, Any]:
    """Return a file given in base64 as a part of the stored message: a picture that models take, or a file that a worker reads.
    Raises InputError that names the field."""
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f"{data_field} must be base64, without line breaks.", field=data_field) from None
    name = clean_name(name)
    try:
        kind = detect(BytesIO(content), name)
    except Unreadable as error:
        raise FileUnreadable(f"{field} can't be read: {error.message}", code=error.code, field=field) from None
    if kind.name == "zip":
        raise FileUnreadable(f"{field} is an archive. Attach the files in it.", code="unsupported", field=field)
    if kind.media_type in SHOWN_PICTURES:
        return {"type": "image_url", "image_url": {"url": f"data:{kind.media_type};base64,{data}"}}
    return {"type": "file", "name": name, "data": data}
