"""Refuses JSON in which a key is there twice: decoders take the first, the last or both, so whoever checks a body before us may
have checked another value than the one that counts here.

Small bodies are searched whole, in 6 µs for a usual chat. To search a large one whole would hold up other requests as much as
its decoding does (25 ms for each MB of empty objects), so there only the keys of the body itself are compared. Not for what
other systems send to a trigger, whose bodies nobody who reads our answer can change.
"""

import json
from typing import Any, NoReturn

import msgspec

from schema.errors import InputError
from schema.repeated_keys import MAX_KEYS, TooManyKeys, find_repeated_key

WHOLE_BYTES = 256 * 1024


class _Repeated(Exception):
    """A key is there twice."""


def reject_repeated_keys(body: bytes) -> None:
    """Raise InputError that names a key that an object has twice. The body must be valid JSON."""
    try:
        if len(body) <= WHOLE_BYTES:
            _whole.decode(body.decode())
        else:
            repeated_key = find_repeated_key(body)
            if repeated_key is not None:
                _refuse(repeated_key)
    except _Repeated as repeated:
        _refuse(str(repeated))
    except TooManyKeys:
        raise InputError(f"The body has more than {MAX_KEYS:,} fields. Send fewer.") from None
    except (ValueError, RecursionError, msgspec.DecodeError):
        return  # not what msgspec takes for an object: not ours to explain


def _unique(pairs: list[tuple[str, Any]]) -> None:
    """Called for each object. Returns nothing, so that no object is built."""
    if len(pairs) > 1 and len(dict(pairs)) < len(pairs):
        seen = set[str]()
        for name, _ in pairs:
            if name in seen:
                raise _Repeated(name)
            seen.add(name)


_whole = json.JSONDecoder(object_pairs_hook=_unique, parse_int=bool, parse_float=bool, parse_constant=bool)


def _refuse(name: str) -> NoReturn:
    field = name[:80]
    raise InputError(
        f"{field or 'A key without a name'} is there twice in one object. Send each key once.", field=field
    )
