"""Cleans texts before any engine embeds them, so that all engines see the same."""

import unicodedata

MAX_CHARS = 32_768
"""About 8,192 tokens, the most that common models read. MiniLM reads 256 tokens."""


def clean(text: str) -> str:
    """Return the text in NFC (Vietnamese may arrive decomposed), without NULs and lone surrogates, truncated.

    Tokenizers reject lone surrogates, and Postgres rejects NULs; neither carries meaning.
    """
    text = text[:MAX_CHARS].replace("\0", " ")
    text = text.encode("utf-8", "ignore").decode("utf-8")
    return unicodedata.normalize("NFC", text)
