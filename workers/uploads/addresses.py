"""Documents that a job fetches by address: what its payload says, and what became of it."""

from typing import Any
from uuid import UUID

import msgspec


class Addresses(msgspec.Struct, frozen=True):
    """What a job is to fetch, as its payload has it: into which collection, in whose name, and what the documents get."""

    urls: list[str]
    collection: UUID
    private: bool = False
    metadata: dict[str, Any] = {}
    name: str | None = None


class Fetched(msgspec.Struct, frozen=True):
    """What became of the addresses besides the files that the job ingests."""

    unchanged: int = 0
    refused: list[dict[str, str]] = []
