"""Strings that exist nowhere else, and the search for them: in plain, and as they look after a trip through JSON, a URL,
base64, HTML, hexadecimal digits or Python's `repr`.
"""

import base64
import html
import json
import secrets
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MIN_FRAGMENT_LENGTH = 8  # shorter pieces would be found by chance


class CanaryFinder:
    """Knows all canaries and tells which of them some bytes hold."""

    def __init__(self) -> None:
        self._forms: dict[str, set[bytes]] = {}

    def add(self, name: str, text: str, *pieces: str) -> str:
        """Look for `text` too, whole or in one of its `pieces`; returns it."""
        self._forms.setdefault(name, set()).update(form for said in (text, *pieces) for form in encodings_of(said))
        return text

    def make(self, name: str, pattern: str = "canary {}") -> str:
        """Make a canary of 24 random digits in a `pattern`; the digits alone are found as well."""
        digits = secrets.token_hex(12)
        return self.add(name, pattern.format(digits), digits)

    @property
    def names(self) -> set[str]:
        return set(self._forms)

    def find(self, *places: bytes | str) -> set[str]:
        """Return the names of the canaries that stand in any of the places."""
        told = [place.encode(errors="surrogateescape") if isinstance(place, str) else place for place in places]
        return {name for name, forms in self._forms.items() if any(form in place for place in told for form in forms)}

    def leaks(self, places: Iterable[tuple[str, bytes]], *, allowed: Iterable[str] = ()) -> list[str]:
        """Return what should not be where it is, as "canary in place"."""
        fine = set(allowed)
        return sorted({f"{name} in {place}" for place, said in places for name in self.find(said) - fine})


def encodings_of(text: str) -> Iterator[bytes]:
    """Yield the spellings under which `text` may turn up."""
    assert len(text) >= MIN_FRAGMENT_LENGTH, "too short to be told from other text"
    plain = {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1]}
    plain |= {json.dumps(said)[1:-1] for said in plain}  # a text in a text
    for said in plain | {html.escape(text), quote(text), quote(text, safe=""), quote_plus(text)}:
        yield said.encode()
    for said in plain:
        yield said.encode().hex().encode()
        yield from _in_base64(said.encode())


def _in_base64(said: bytes) -> Iterator[bytes]:
    """Yield what is always the same in base64, whatever stands before and after."""
    for before in range(3):
        begin, end = -(-before * 8 // 6), (before + len(said)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * before + said)[begin:end]
