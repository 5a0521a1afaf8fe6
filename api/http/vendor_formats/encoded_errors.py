"""An error as bytes, in the format of its route: for what answers beside the application, whose handlers write all others
(`api/http/errors.py`)."""

from http import HTTPStatus
from typing import NamedTuple

import msgspec
from litestar.datastructures import Headers

from api.http.errors import ProblemOut, documented_status
from api.http.vendor_formats.anthropic_errors import error_out as anthropic_error_out
from api.http.vendor_formats.anthropic_errors import is_anthropic
from api.http.vendor_formats.openai_errors import error_out
from workers.logs import masked


class EncodedError(NamedTuple):
    """The body of an error, with its status and media type."""

    status: int
    media_type: str
    body: bytes


def encode_error(code: str, detail: str, *, path: str, request_id: str, headers: Headers | None = None) -> EncodedError:
    """Return the error of a request for this path, by the code of the catalog."""
    status, is_vendors = documented_status(code), f"{path}/".startswith("/v1/")
    if is_anthropic(path, headers):
        body: object = anthropic_error_out(status, detail, code=code, request_id=request_id)
    elif is_vendors:
        body = error_out(status, detail, code=code)
    else:
        body = ProblemOut(
            type=f"urn:headrace:problem:{code}",
            title=HTTPStatus(status).phrase,
            status=status,
            detail=detail,
            instance=masked(path),
            code=code,
            request_id=request_id,
        )
    media_type = "application/json" if is_anthropic(path, headers) or is_vendors else "application/problem+json"
    return EncodedError(status, media_type, msgspec.json.encode(body))
