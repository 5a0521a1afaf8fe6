"""Decodes a JSON body strictly into the struct that the handler takes as `data`, with errors that name the field.

Litestar itself would parse to dicts first, convert leniently (accepting "5" for 5) and treat any Content-Type as JSON.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException

from api.http.validation_messages import explain
from schema.errors import InputError

HEX = "[0-9a-fA-F]{2}"
LONE_SURROGATE = re.compile(rf"\\u[dD][89abAB]{HEX}(?!\\u[dD][c-fC-F]{HEX})|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]{HEX}")


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
        return read_body(await self.body(), Any if field is None else field.annotation)


def require_json(content_type: str) -> None:
    """Raise 415 unless the content type is JSON or missing."""
    name = content_type.partition(";")[0].strip().lower()
    if name and name != "application/json" and not name.endswith("+json"):
        raise HTTPException(status_code=415, detail=f"The body is {name[:80]}. Send it as application/json.")


def read_body(body: bytes, type_: Any) -> Any:
    """Decode JSON as a `type_`. Raises InputError that names the field and says what it must be."""
    try:
        value = _decoder(type_).decode(body)
    except msgspec.ValidationError as error:
        problem = explain(str(error), type_)
        raise InputError(problem.message, field=problem.field or None) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(_explain_malformed(body, str(error))) from error
    except RecursionError as error:
        raise InputError("The body is nested too deeply.") from error
    if b"\\u0000" in body:
        _reject_nul(msgspec.to_builtins(value))
    return value


def _explain_malformed(body: bytes, reason: str) -> str:
    """Return what is wrong with a body that can't be decoded."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        return f"The body is not UTF-8: byte {error.start} is invalid. Send JSON that is encoded as UTF-8."
    if text.startswith("\ufeff"):
        return "The body starts with a byte order mark. Remove it."
    if half := LONE_SURROGATE.search(text):
        return f"The body contains {half[0]}, which is half of a surrogate pair and no character. Remove it."
    if reason == "Input data was truncated":
        return "The body is not valid JSON: it ends too early."
    return f"The body is not valid JSON: {reason.removeprefix('JSON is malformed: ')}."


@cache
def _decoder(type_: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(type_)


def _reject_nul(value: Any, field: str = "") -> None:
    """Raise InputError if a string contains U+0000, which Postgres can't store."""
    if isinstance(value, str) and "\0" in value:
        raise InputError(f"{field or 'The body'} contains the character U+0000. Remove it.", field=field or None)
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _reject_nul(name, field)
            _reject_nul(inner, f"{field}.{name}" if field else name)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _reject_nul(inner, f"{field}[{index}]")
