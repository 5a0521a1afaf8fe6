"""Reading a request's body: JSON straight into the struct that the handler names as `data`, strictly, with errors that
name the field.

Litestar's own way parses to dicts first, converts leniently ("5" passes for 5) and takes any Content-Type for JSON.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException

from api.http.validation_messages import explain
from schema.errors import InputError


class JsonRequest(Request[Any, Any, Any]):
    """The request class of all routes."""

    @property
    def request_id(self) -> str:
        """The id that the edge gave the request."""
        return self.scope.get("request_id", "")  # type: ignore[return-value]

    async def json(self) -> Any:
        """Return the body as the type of the handler's `data`. Raises InputError that names the field, or 415."""
        require_json(self.headers.get("content-type", ""))
        field = self.route_handler.parsed_data_field
        return read_body(await self.body(), Any if field is None else field.annotation)


def require_json(content_type: str) -> None:
    """Raise 415 unless the content type is JSON's; none at all is taken for JSON."""
    name = content_type.partition(";")[0].strip().lower()
    if name and name != "application/json" and not name.endswith("+json"):
        raise HTTPException(status_code=415, detail=f"The body is {name[:80]}. Send it as application/json.")


def read_body(body: bytes, shape: Any) -> Any:
    """Decode JSON into `shape`. Raises InputError that names the field and says what is right."""
    try:
        value = _decoder(shape).decode(body)
    except msgspec.ValidationError as error:
        complaint = explain(str(error), shape)
        raise InputError(complaint.message, field=complaint.field or None) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        said = str(error).removeprefix("JSON is malformed: ")
        raise InputError(f"The body is not valid JSON: {said}.") from error
    except RecursionError as error:
        raise InputError("The body is nested too deeply.") from error
    if b"\\u0000" in body:
        _refuse_nul(msgspec.to_builtins(value))
    return value


@cache
def _decoder(shape: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(shape)


def _refuse_nul(value: Any, field: str = "") -> None:
    """Raise InputError where a string holds U+0000: Postgres can't store it, and no model needs it."""
    if isinstance(value, str) and "\0" in value:
        raise InputError(f"{field or 'The body'} contains the character U+0000. Remove it.", field=field or None)
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _refuse_nul(name, field)
            _refuse_nul(inner, f"{field}.{name}" if field else name)
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            _refuse_nul(inner, f"{field}[{place}]")
