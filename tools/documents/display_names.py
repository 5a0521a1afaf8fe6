"""Cleans the file names that uploaders give, for display. Never used as paths: files are stored under generated names."""

import unicodedata

MAX_PART, MAX_NAME = 200, 500


def clean_name(name: str) -> str:
    """Return the name with its folders ("a/b.txt"), without control characters and bidirectional overrides. At most 500
    characters, keeping the end with its extension. Never empty."""
    parts = (_clean_part(part) for part in unicodedata.normalize("NFC", name.replace("\\", "/")).split("/"))
    kept = [part for part in parts if part not in ("", ".", "..")]
    return "/".join(kept)[-MAX_NAME:].lstrip("/") or "unnamed"


def _clean_part(part: str) -> str:
    """Drops `Cc` (controls), `Cf` (invisible formatting) and `Cs` (surrogates)."""
    visible = "".join(letter for letter in part if unicodedata.category(letter) not in ("Cc", "Cf", "Cs")).strip()
    if len(visible) <= MAX_PART:
        return visible
    stem, dot, extension = visible.rpartition(".")
    return f"{stem[: MAX_PART - 12]}….{extension[:10]}" if dot else visible[:MAX_PART]
