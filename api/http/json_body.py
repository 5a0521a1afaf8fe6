"""Decodes a JSON body strictly into the struct that the handler takes as `data`, with errors that name the field.

Litestar itself would parse to dicts first, convert leniently (accepting "5" for 5) and treat any Content-Type as JSON.
"""

import asyncio
import math
from functools import cache
from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException

from api.http.field_sizes import keep_bounds
from api.http.malformed_json import explain_malformed, has_nul, nul_path
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

    async def json(self) -> Any:
        """Return the body as the type of the handler's `data`. Raises InputError that names the field, or 415."""
        require_json(self.headers.get("content-type", ""))
        field = self.route_handler.parsed_data_field
        type_ = Any if field is None else field.annotation
        body = _bounded(await self.body(), type_)
        if len(body) > LONG_BODY_BYTES:
            await asyncio.sleep(0)
        return _decode(body, type_)


def require_json(content_type: str) -> None:
    """Raise 415 unless the content type is JSON or missing."""
    name = content_type.partition(";")[0].strip().lower()
    if name and name != "application/json" and not name.endswith("+json"):
        raise HTTPException(status_code=415, detail=f"The body is {name[:80]}. Send it as application/json.")


def read_body(body: bytes, type_: Any) -> Any:
    """Decode JSON as a `type_`. Raises InputError that names the field and says what it must be."""
    return _decode(_bounded(body, type_), type_)


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
        problem = explain(str(error), type_)
        return InputError(problem.message, field=problem.field or None)
    if isinstance(error, RecursionError):
        return InputError("The body is nested too deeply.")
    return InputError(explain_malformed(body, str(error)))


def decode_any(body: bytes | msgspec.Raw) -> Any:
    """Decode JSON of any shape. Raises what msgspec raises (UNDECODABLE)."""
    return _decoder(Any).decode(body)


@cache
def _decoder(type_: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(type_, float_hook=_number)


def _number(text: str) -> float:
    """Parse a number of a field without a type. msgspec's own way takes 50 times as long for numbers such as 1.5e300."""
    value = float(text)
    if math.isinf(value):
        raise ValueError("Number out of range")
    return value
