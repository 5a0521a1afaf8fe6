"""A vendor's embedder, called with care: so many texts at once, again after what may pass, vectors that fit together.

Not for: HTTP (`graphs/providers`), gathering texts of many callers (`batching.py`), when to try again (passed in).
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from graphs.providers.contract import Embedder
from graphs.providers.errors import ProviderInvalidResponse
from schema.errors import ProviderError

MOST_TEXTS = 64
"""Texts of one call. Vendors take up to 2,048 and Ollama any number, but a call that fails is made again as a whole."""
MOST_CHARS = 200_000
"""Characters of one call: OpenAI takes 300,000 tokens, and a character is seldom more than one."""
TRIES = 4

log = structlog.get_logger(__name__)

RetryDelay = Callable[[Exception, int], float]
"""Error and number of tries so far to the pause before the next in seconds: `workers.queue.errors.retry_delay_s`."""


@dataclass(frozen=True, slots=True)
class Hosted:
    """An `Embedder` over a provider. Without `retry_delay_s` nothing is tried again: somebody waits for the answer."""

    name: str
    provider: Embedder
    retry_delay_s: RetryDelay | None = None

    async def embed(self, texts: Sequence[str], model: str) -> list[list[float]]:
        """One vector of length 1 per text, in order, all of one size; no texts, no call.

        Raises ProviderInvalidResponse for vectors that are none, and what the provider raises once tries are spent.
        """
        found: list[list[float]] = []
        for piece in pieces_of(texts):
            found += await self._try(piece, model)
        self._check(found)
        return found

    async def _try(self, texts: Sequence[str], model: str) -> list[list[float]]:
        for tries in range(1, TRIES + 1):
            try:
                return [_unit(self.name, vector) for vector in await self.provider.embed(texts, model)]
            except ProviderError as error:
                if self.retry_delay_s is None or not error.retryable or tries == TRIES:
                    raise
                delay_s = self.retry_delay_s(error, tries)
                log.warning("embedding_retried", provider=self.name, code=error.code, tries=tries, delay_s=delay_s)
            await asyncio.sleep(delay_s)
        raise AssertionError("unreachable")

    def _check(self, vectors: list[list[float]]) -> None:
        sizes = sorted({len(vector) for vector in vectors})
        if len(sizes) > 1:
            said = " and ".join(map(str, sizes[:3]))
            raise ProviderInvalidResponse(
                f"{self.name} sent vectors of {said} numbers for one model; they can't be compared."
            )


def pieces_of(
    texts: Sequence[str], *, most_texts: int = MOST_TEXTS, most_chars: int = MOST_CHARS
) -> list[Sequence[str]]:
    """Texts in order, cut into calls of at most so many texts and characters; a long text has a call of its own."""
    pieces, begin, chars = [], 0, 0
    for place, text in enumerate(texts):
        if place > begin and (place - begin == most_texts or chars + len(text) > most_chars):
            pieces.append(texts[begin:place])
            begin, chars = place, 0
        chars += len(text)
    return [*pieces, texts[begin:]] if texts else []


def unit(vector: Sequence[float]) -> list[float] | None:
    """The vector at length 1; None for one that has no direction."""
    length = math.sqrt(math.fsum(x * x for x in vector)) if vector else 0.0
    return [x / length for x in vector] if 0 < length < math.inf else None


def _unit(name: str, vector: Sequence[float]) -> list[float]:
    found = unit(vector)
    if found is None:
        raise ProviderInvalidResponse(f"{name} sent an embedding that is empty, zero or not finite.")
    return found
