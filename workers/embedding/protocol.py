"""The messages between API processes and workers for embedding and re-ranking: MessagePack arrays without field names.

    API ── LPUSH headrace:embed:{queue} request ──▶ worker ── PUBLISH headrace:embedded:{process} response ──▶ API

Not durable on purpose: both sides drop a request that is not answered in time.
"""

from array import array
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from graphs.embeddings.purposes import Purpose
from graphs.embeddings.texts import MAX_CHARS

EmbeddingQueue = Literal["query", "bulk"]
"""`query`: a few short texts; `bulk`: all others."""

MAX_QUERY_TEXTS, MAX_QUERY_CHARS = 8, 16_384
MAX_REQUEST_TEXTS, MAX_REQUEST_CHARS = 16, 131_072
"""Limits of one request: about a second of work, so that several workers share a long list."""
MAX_QUEUED = 1000
"""Requests per queue."""

Text = Annotated[str, Meta(max_length=3 * MAX_CHARS)]
"""`clean` truncates at LONGEST, and NFC may then turn one character into three."""


class EmbeddingRequest(msgspec.Struct, frozen=True, array_like=True):
    """Texts to embed with the local engine `embedder` or, with a `query`, to rate against it with the cross-encoder.

    After `deadline`, a Unix time, nobody waits for the response. `lane` is the unit of fair sharing, such as a tenant."""

    id: int
    process: str
    texts: Annotated[list[Text], Meta(min_length=1, max_length=MAX_REQUEST_TEXTS)]
    purpose: Purpose
    embedder: str
    lane: str
    deadline: float
    query: Text | None = None


class EmbeddingError(msgspec.Struct, frozen=True, array_like=True):
    """Why there are no vectors."""

    code: str
    message: str


class EmbeddingResponse(msgspec.Struct, frozen=True, array_like=True):
    """The vectors of one request, concatenated, of `dimensions` little-endian float32 numbers each; or an error. A rating is
    a vector of one number."""

    id: int
    dimensions: int = 0
    data: bytes = b""
    error: EmbeddingError | None = None


encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(EmbeddingRequest).decode
decode_response = msgspec.msgpack.Decoder(EmbeddingResponse).decode
MALFORMED = (msgspec.DecodeError, UnicodeDecodeError)
"""What decoding raises for invalid bytes."""


def pack_vectors(request_id: int, vectors: Sequence[Sequence[float]]) -> EmbeddingResponse:
    """Return the response with these vectors, which must have the same length."""
    data = b"".join(array("f", vector).tobytes() for vector in vectors)
    return EmbeddingResponse(request_id, len(vectors[0]) if vectors else 0, data)


def unpack_vectors(response: EmbeddingResponse) -> list[list[float]]:
    """Return the vectors of a response."""
    numbers, size = array("f", response.data), response.dimensions
    return [numbers[start : start + size].tolist() for start in range(0, len(numbers), size)] if size else []
