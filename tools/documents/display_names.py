"""Names of files as strangers give them, made fit to be shown. Never used as a path: bytes are stored under names of ours."""

import unicodedata

MAX_PART, MAX_NAME = 200, 500


def clean_name(name: str) -> str:
    """Return the name with its folders ("a/b.txt"), without what steers a terminal or turns text around. At most 500
    characters; the end, with its extension, is kept. Never empty."""
    parts = (_clean_part(part) for part in unicodedata.normalize("NFC", name.replace("\\", "/")).split("/"))
    kept = [part for part in parts if part not in ("", ".", "..")]
    return "/".join(kept)[-MAX_NAME:].lstrip("/") or "unnamed"


def _clean_part(part: str) -> str:
    """`Cc` are controls, `Cf` marks that are not seen, `Cs` halves of characters."""
    seen = "".join(letter for letter in part if unicodedata.category(letter) not in ("Cc", "Cf", "Cs")).strip()
    if len(seen) <= MAX_PART:
        return seen
    stem, dot, extension = seen.rpartition(".")
    return f"{stem[: MAX_PART - 12]}….{extension[:10]}" if dot else seen[:MAX_PART]
