"""Parses the fields of an upload: collection, private, metadata, name, URLs; from a form or from JSON."""

import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from api.auth.principals import Principal
from api.documents.collections import NAME, NAME_RULE
from api.http.bodies.json_body import read_body
from api.jobs.run_at import parse_time
from api.webhooks.callbacks import CallbackUrl
from schema.errors import InputError
from schema.queries.documents.collections import DEFAULT
from workers.uploads.limits import UploadLimits

MAX_KEYS, MAX_KEY, MAX_METADATA, MAX_URL = 50, 100, 16 * 1024, 2000
NAMELESS = "A file part has a `filename` in its Content-Disposition."
FIELDS = ("collection", "private", "metadata", "name", "url", "callback_url", "run_at")


class AddressesIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """URLs to fetch documents from, and what the documents get."""

    urls: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=MAX_URL)]],
        Meta(min_length=1, max_length=100, description="URLs to fetch files from."),
    ]
    collection: Annotated[
        str,
        Meta(min_length=1, max_length=64, description="Name of the collection. It is created if it does not exist."),
    ] = DEFAULT
    private: Annotated[bool, Meta(description="Whether only you can see the documents.")] = False
    metadata: Annotated[
        dict[str, Any],
        Meta(description="Your own key-value pairs to filter by.", extra={"max_bytes": 64 * 1024}),
    ] = {}
    name: Annotated[
        Annotated[str, Meta(max_length=1000)] | None, Meta(description="Name of the document, with a single URL.")
    ] = None


class UploadIn(AddressesIn, frozen=True):
    """The body of an upload by address."""

    callback_url: CallbackUrl | None = None
    run_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Fields:
    """The fields of an upload. `private`: only the uploader can see the documents. `name`: name of a single file."""

    collection: str = DEFAULT
    private: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    name: str | None = None
    urls: tuple[str, ...] = ()
    callback_url: str | None = None
    run_at: datetime | None = None


def from_json(body: bytes, limits: UploadLimits) -> Fields:
    """Read a JSON body. Raises InputError that names the field."""
    message: UploadIn = read_body(body, UploadIn)
    return replace(read_addresses(message, limits), callback_url=message.callback_url, run_at=message.run_at)


def read_addresses(message: AddressesIn, limits: UploadLimits) -> Fields:
    """Return what a body says of documents by address. Raises InputError that names the field."""
    return Fields(
        collection=_collection(message.collection),
        private=message.private,
        metadata=_metadata(message.metadata),
        name=message.name,
        urls=_urls(message.urls, limits, "urls"),
    )


def check_private(fields: Fields, principal: Principal) -> None:
    """Raise InputError for private documents of somebody who is no user."""
    if fields.private and principal.user_id is None:
        raise InputError(
            "Private documents belong to users, and this API key belongs to its tenant. Sign in, or omit private.",
            field="private",
        )


def check_name(fields: Fields, file_count: int) -> None:
    """Raise InputError for a name of several files."""
    if fields.name is not None and file_count > 1:
        raise InputError("name can only be set for a single file. Omit it; each file has its own name.", field="name")


def from_form(form: list[tuple[str, str]], limits: UploadLimits) -> Fields:
    """Read the fields of a form, in order. Raises InputError that names the field."""
    message: dict[str, str] = {}
    urls: list[str] = []
    for name, value in form:
        if name == "url":
            urls.append(value.strip())
        elif name not in FIELDS:
            raise InputError(_unknown_field(name), field=name[:80])
        elif name in message:
            raise InputError(f"{name} is duplicated. Send it once.", field=name)
        else:
            message[name] = value
    return Fields(
        collection=_collection(message.get("collection") or DEFAULT),
        private=_parse_bool(message.get("private", "")),
        metadata=_metadata(_parse_metadata(message.get("metadata", ""))),
        name=message.get("name"),
        urls=_urls(urls, limits, "url"),
        callback_url=message.get("callback_url"),
        run_at=parse_time(message["run_at"], "run_at") if message.get("run_at") else None,
    )


def _unknown_field(name: str) -> str:
    if name in ("file", "files"):
        return f"{name} is a text field, not a file. {NAMELESS}"
    return f"Unknown field {name[:80]!r}. An upload can contain files, and the fields {', '.join(FIELDS)}."


def _collection(name: str) -> str:
    if not NAME.fullmatch(name):
        raise InputError(f"collection {NAME_RULE}", field="collection")
    return name


def _parse_bool(text: str) -> bool:
    values: dict[str, Literal[True, False]] = {"true": True, "1": True, "false": False, "0": False, "": False}
    if text.strip().lower() not in values:
        raise InputError("private must be true or false.", field="private")
    return values[text.strip().lower()]


def _parse_metadata(text: str) -> Any:
    if not text.strip():
        return {}
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise InputError('metadata must be a JSON object, such as {"year": 2026}.', field="metadata") from None


def _metadata(value: Any) -> dict[str, Any]:
    """Return metadata that is flat and small enough. Raises InputError."""
    if not isinstance(value, dict):
        raise InputError('metadata must be a JSON object, such as {"year": 2026}.', field="metadata")
    if len(value) > MAX_KEYS or len(json.dumps(value, ensure_ascii=False).encode()) > MAX_METADATA:
        raise InputError(f"metadata must not exceed {MAX_KEYS} keys and {MAX_METADATA:,} bytes.", field="metadata")
    for key, inner in value.items():
        if not 1 <= len(key) <= MAX_KEY or "\0" in key:
            raise InputError(f"metadata: keys must have 1 to {MAX_KEY} characters.", field="metadata")
        if not _is_flat(inner):
            message = "text, a number, true, false or a list of text, without U+0000"
            raise InputError(f"metadata.{key} must be {message}.", field=f"metadata.{key}")
    return value


def _is_flat(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(text, str) and "\0" not in text for text in value)
    if isinstance(value, str):
        return "\0" not in value
    return isinstance(value, bool | int | float) and abs(value) < 1e300


def _urls(urls: list[str], limits: UploadLimits, name: str) -> tuple[str, ...]:
    if len(urls) > limits.max_urls:
        raise InputError(f"An upload can contain at most {limits.max_urls} URLs. Send several uploads.", field=name)
    for url in urls:
        if not 1 <= len(url) <= MAX_URL:
            raise InputError(f"{name} must be a URL of 1 to {MAX_URL:,} characters.", field=name)
    return tuple(dict.fromkeys(urls))
