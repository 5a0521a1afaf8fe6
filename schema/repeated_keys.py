"""Finds a key that a JSON object has twice. Decoders take the first, the last or both of the values, so two that read the same
text may see different ones. Not for objects within the object: `api/http/bodies/repeated_keys.py` looks into those."""

import msgspec

MAX_KEYS = 1000
"""More than any body has fields."""


class TooManyKeys(Exception):
    """The object has more keys than anything that is sent here."""


class _Repeated(Exception):
    pass


class _Key:
    """A key of an object. Two are never equal, so a dict keeps both."""


def find_repeated_key(text: bytes) -> str | None:
    """Return the first key that a JSON object has twice, None if there is none. Raises TooManyKeys, and msgspec.DecodeError for
    what is no object."""
    seen = set[str]()

    def see(_: type, name: str) -> _Key:
        if name in seen:
            raise _Repeated(name)
        if len(seen) == MAX_KEYS:
            raise TooManyKeys(f"There are more than {MAX_KEYS:,} fields. Send fewer.")
        seen.add(name)
        return _Key()

    try:
        msgspec.json.decode(text, type=dict[_Key, msgspec.Raw], dec_hook=see)
    except _Repeated as repeated:
        return str(repeated)
    return None
