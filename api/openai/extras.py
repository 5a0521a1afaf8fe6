"""Parameters of a completion beyond OpenAI's, such as `top_k`: passed on as they came, to vendors that may know them."""

import re
from typing import Any

import msgspec
from msgspec import Raw

from api.http.bodies.json_body import decode_any
from api.http.bodies.malformed_json import explain_malformed
from schema.errors import InputError

MAX_EXTRAS = 64
MAX_BYTES = 256 * 1024
NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)

_split = msgspec.json.Decoder(dict[str, Raw]).decode


def read_extras(body: bytes, known: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the parameters of a valid request that its shape `known` doesn't have. Raises InputError for too many, too large
    ones, and names that no vendor would have."""
    sent = {name: raw for name, raw in _split(body).items() if name not in known.__struct_fields__}
    if not sent:
        return {}
    if len(sent) > MAX_EXTRAS:
        raise InputError(f"The request has {len(sent):,} unknown parameters; at most {MAX_EXTRAS} are passed on.")
    for name in sent:
        if not NAME.fullmatch(name):
            message = f"{name[:64]!r} is no name of a parameter: at most 64 letters, digits, _, . and -."
            raise InputError(message, field=name[:64])
    if sum(len(memoryview(raw)) for raw in sent.values()) > MAX_BYTES:
        raise InputError(f"Unknown parameters must not exceed {MAX_BYTES // 1024} KB of JSON together.")
    return {name: _read(name, raw) for name, raw in sent.items()}


def _read(name: str, raw: Raw) -> Any:
    try:
        return decode_any(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{name}: {explain_malformed(bytes(raw), str(error))}", field=name) from error
