"""Decodes a JSON body strictly into the struct that the handler takes as `data`, with errors that name the field.

Litestar itself would parse to dicts first, convert leniently (accepting "5" for 5) and treat any Content-Type as JSON.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Hashable
from contextlib import AbstractContextManager
from functools import cache, partial
from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException
from litestar.types import Empty

from api.http.bodies.budget import Reading
from api.http.bodies.field_sizes import keep_bounds
from api.http.bodies.malformed_json import explain_malformed, has_nul, nul_path
from api.http.bodies.repeated_keys import reject_repeated_keys
from api.http.bodies.wrong_keys import find_place, wrong_key
from api.http.validation_messages import explain
from schema.errors import InputError

LONG_BODY_BYTES = 256 * 1024
"""From here on, other requests get a turn between the steps, of which each takes up to 20 ms for 8 MB."""

UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class JsonRequest(Request[Any, Any, Any]):
    """The request class of all routes."""

    @property
    def request_id(self) -> str:
        """The id that the middleware gave the request."""
        return self.scope.get("request_id", "")

    def stream(self) -> AsyncGenerator[bytes, None]:
        """Return the chunks of the body, as they come. Raises 415 if it is encoded."""
        require_identity(self.headers.get("content-encoding", ""))
        return super().stream()

    def counted(self) -> AbstractContextManager[Reading]:
        """Count what is read into memory within against the caller's share (`budget.py`)."""
        principal = self.scope.get("user")
        holder: Hashable = self.client and self.client.host if principal is None else principal.tenant_id
        return self.app.state.bodies.reading(holder)

    async def body(self) -> bytes:
        """Return the body. Raises 413, 415, and what `counted` raises."""
        if self._body is Empty and (known := self._connection_state.body) is not Empty:
            self._body = known
        if self._body is Empty:
            chunks: list[bytes] = []
            with self.counted() as reading:
                async for chunk in self.stream():
                    reading.add(len(chunk))
                    chunks.append(chunk)
            self._body = self._connection_state.body = b"".join(chunks)
        return self._body

    async def json(self) -> Any:
        """Return the body as the type of the handler's `data`. Raises InputError that names the field, or 415."""
        require_json(self.headers.get("content-type", ""))
        field = self.route_handler.parsed_data_field
        type_ = Any if field is None else field.annotation
        whole = await self.body()
        body = _bounded(whole, type_)
        if len(body) > LONG_BODY_BYTES:
            await asyncio.sleep(0)
        value = _decode(body, type_)
        reject_repeated_keys(whole)
        return value


def require_identity(encoding: str) -> None:
    """Raise 415 for a compressed body: a small one may become a huge one, and no client needs to compress what it asks."""
    name = encoding.strip().lower()
    if name not in ("", "identity"):
        raise HTTPException(
            status_code=415,
            detail=f"The body is compressed (Content-Encoding: {name[:40]}). Send it without Content-Encoding; only "
            "identity is taken.",
            headers={"Accept-Encoding": "identity"},
        )


def require_json(content_type: str) -> None:
    """Raise 415 unless the content type is JSON or missing."""
    name = content_type.partition(";")[0].strip().lower()
    if name and name != "application/json" and not name.endswith("+json"):
        raise HTTPException(status_code=415, detail=f"The body is {name[:80]}. Send it as application/json.")


def read_body(body: bytes, type_: Any) -> Any:
    """Decode JSON as a `type_`. Raises InputError that names the field and says what it must be."""
    value = _decode(_bounded(body, type_), type_)
    reject_repeated_keys(body)
    return value


def _bounded(body: bytes, type_: Any) -> bytes:
    try:
        return keep_bounds(body, type_)
    except UNDECODABLE as error:
        raise _explained(error, body, type_) from error


def _decode(body: bytes, type_: Any) -> Any:
    try:
        value = _decoder(type_).decode(body)
    except UNDECODABLE as error:
        raise _explained(error, body, type_) from error
    if b"\\u0000" in body and has_nul(value):
        field = nul_path(msgspec.to_builtins(value))
        raise InputError(f"{field or 'The body'} contains the character U+0000. Remove it.", field=field or None)
    return value


def _explained(error: Exception, body: bytes, type_: Any) -> InputError:
    if isinstance(error, msgspec.ValidationError):
        problem = explain(str(error), type_, partial(_name_keys, body, type_))
        return InputError(problem.message, field=problem.field or None)
    if isinstance(error, RecursionError):
        return InputError("The body is nested too deeply.")
    return InputError(explain_malformed(body, str(error)))


def _name_keys(body: bytes, type_: Any, path: str) -> tuple[str, str]:
    try:
        place = find_place(path, decode_any(body), type_)
    except UNDECODABLE:  # behind what is wrong
        return path, ""
    return place.path, wrong_key(place)


def decode_any(body: bytes | msgspec.Raw) -> Any:
    """Decode JSON of any shape. Raises what msgspec raises (UNDECODABLE)."""
    return _decoder(Any).decode(body)


NOTHING = (b"null", b"[]", b"{}", b'""')


def says_nothing(value: msgspec.Raw) -> bool:
    """Whether a field's value is null or empty, as clients send back what a vendor's answer had; some vendors refuse that."""
    return bytes(memoryview(value)[:5]) in NOTHING


def field_names(body: bytes) -> frozenset[str]:
    """Return the names of the fields of a valid body, known and unknown."""
    return frozenset(_split(body))


_split = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@cache
def _decoder(type_: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(type_, float_hook=_number)


def _number(text: str) -> float:
    """Parse a number of a field without a type. msgspec's own way takes 50 times as long for numbers such as 1.5e300."""
    value = float(text)
    if math.isinf(value):
        raise ValueError("Number out of range")
    return value
