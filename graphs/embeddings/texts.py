"""What is done to a text before any engine embeds it, so that all of them are shown the same thing."""

import unicodedata

LONGEST = 32_768
"""Characters that are looked at: what 8,192 tokens are, the most that common models read. MiniLM reads 256 of them."""


def clean(text: str) -> str:
    """NFC (a Vietnamese text may come decomposed), without NULs and lone surrogates, cut to what a model can read.

    A tokenizer takes lone surrogates for an error and Postgres does so with NULs; neither means anything.
    """
    text = text[:LONGEST].replace("\0", " ")
    text = text.encode("utf-8", "ignore").decode("utf-8")
    return unicodedata.normalize("NFC", text)
