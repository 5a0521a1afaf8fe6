"""What API processes and workers say to each other about embedding and re-ranking: MessagePack, arrays without names.

    API ── LPUSH headrace:embed:{lane} Ask ──▶ worker ── PUBLISH headrace:embedded:{process} Answer ──▶ API

Not durable on purpose: an ask that nobody answers in time is forgotten by both.
"""

from array import array
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from graphs.embeddings.purposes import Purpose
from graphs.embeddings.texts import LONGEST

Lane = Literal["query", "bulk"]
"""`query`: few short texts, somebody waits; `bulk`: the rest."""

QUERY_TEXTS, QUERY_CHARS = 8, 16_384
ASK_TEXTS, ASK_CHARS = 16, 131_072
"""Texts and characters of one ask at most: about a second of work, so that several workers share a long list."""
MOST_WAITING = 1000
"""Asks that may wait in a lane."""

Text = Annotated[str, Meta(max_length=3 * LONGEST)]
"""`clean` cuts at LONGEST, and NFC may then make one character three."""


class EmbeddingRequest(msgspec.Struct, frozen=True, array_like=True):
    """Texts to embed by `embedder`, a local engine; with a `query`, to rate beside it by the worker's cross-encoder. `deadline`
    is a Unix time: later than it nobody listens any more. `lane` is whoever shares alike, such as a tenant."""

    id: int
    process: str
    texts: Annotated[list[Text], Meta(min_length=1, max_length=ASK_TEXTS)]
    purpose: Purpose
    embedder: str
    lane: str
    deadline: float
    query: Text | None = None


class Refusal(msgspec.Struct, frozen=True, array_like=True):
    """Why there are no vectors: code and sentence of an error."""

    code: str
    message: str


class EmbeddingResponse(msgspec.Struct, frozen=True, array_like=True):
    """The vectors of one ask, one after another, `dimensions` numbers each, float32 in little-endian; or why there are none. A
    rating is a vector of one number."""

    id: int
    dimensions: int = 0
    data: bytes = b""
    refusal: Refusal | None = None


encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(EmbeddingRequest).decode
decode_response = msgspec.msgpack.Decoder(EmbeddingResponse).decode
MALFORMED = (msgspec.DecodeError, UnicodeDecodeError)
"""What decoding raises for bytes that are no message."""


def packed(number: int, vectors: Sequence[Sequence[float]]) -> EmbeddingResponse:
    """The answer with these vectors, which have one length."""
    data = b"".join(array("f", vector).tobytes() for vector in vectors)
    return EmbeddingResponse(number, len(vectors[0]) if vectors else 0, data)


def unpacked(answer: EmbeddingResponse) -> list[list[float]]:
    """The vectors of an answer."""
    numbers, size = array("f", answer.data), answer.dimensions
    return [numbers[place : place + size].tolist() for place in range(0, len(numbers), size)] if size else []
