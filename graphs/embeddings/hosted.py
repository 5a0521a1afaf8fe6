"""A vendor's embedder: limits the size of calls, retries transient errors, checks and normalises vectors.

Not for: HTTP (`graphs/providers`), batching many callers' texts (`batching.py`), when to retry (passed in).
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from graphs.providers.contract import Embedder, Purpose, PurposeEmbedder
from graphs.providers.errors import ProviderInvalidResponse
from schema.errors import ProviderError

MAX_TEXTS = 64
"""Per call. Vendors accept up to 2,048 texts and Ollama any number, but a failed call is retried as a whole."""
MAX_CHARS = 200_000
"""Per call. OpenAI accepts 300,000 tokens, and a character is seldom more than one."""
MAX_TRIES = 4

log = structlog.get_logger(__name__)

RetryDelay = Callable[[Exception, int], float]
"""From an error and the number of tries so far to the delay in seconds: `workers.queue.errors.retry_delay_s`."""


@dataclass(frozen=True, slots=True)
class HostedEmbedder:
    """An `Embedder` over a provider. Without `retry_delay_s` there are no retries: somebody waits for the answer."""

    name: str
    provider: Embedder
    retry_delay_s: RetryDelay | None = None

    @property
    def by_purpose(self) -> bool:
        """Whether the vendor must know what texts are embedded for, so that a call is for one purpose."""
        return isinstance(self.provider, PurposeEmbedder)

    async def embed(self, texts: Sequence[str], model: str, purpose: Purpose = "query") -> list[list[float]]:
        """Return one vector of length 1 per text, in order, all of one size. Without texts, no call is made.

        Raises ProviderInvalidResponse for invalid vectors, and the provider's last error.
        """
        found: list[list[float]] = []
        for batch in split_batches(texts):
            found += await self._embed_batch(batch, model, purpose)
        self._check(found)
        return found

    async def _embed_batch(self, texts: Sequence[str], model: str, purpose: Purpose) -> list[list[float]]:
        for tries in range(1, MAX_TRIES + 1):
            try:
                return [_normalised(self.name, vector) for vector in await self._call(texts, model, purpose)]
            except ProviderError as error:
                if self.retry_delay_s is None or not error.retryable or tries == MAX_TRIES:
                    raise
                delay_s = self.retry_delay_s(error, tries)
                log.warning("embedding_retried", provider=self.name, code=error.code, tries=tries, delay_s=delay_s)
            await asyncio.sleep(delay_s)
        raise AssertionError("unreachable")

    async def _call(self, texts: Sequence[str], model: str, purpose: Purpose) -> list[list[float]]:
        if isinstance(self.provider, PurposeEmbedder):
            return await self.provider.embed_for(texts, model, purpose)
        return await self.provider.embed(texts, model)

    def _check(self, vectors: list[list[float]]) -> None:
        sizes = sorted({len(vector) for vector in vectors})
        if len(sizes) > 1:
            listed = " and ".join(map(str, sizes[:3]))
            raise ProviderInvalidResponse(
                f"{self.name} sent vectors of {listed} numbers for one model; they can't be compared."
            )


def split_batches(
    texts: Sequence[str], *, max_texts: int = MAX_TEXTS, max_chars: int = MAX_CHARS
) -> list[Sequence[str]]:
    """Split texts, in order, into calls of limited size; a longer text gets a call of its own."""
    batches, start, chars = [], 0, 0
    for index, text in enumerate(texts):
        if index > start and (index - start == max_texts or chars + len(text) > max_chars):
            batches.append(texts[start:index])
            start, chars = index, 0
        chars += len(text)
    return [*batches, texts[start:]] if texts else []


def normalise(vector: Sequence[float]) -> list[float] | None:
    """Return the vector scaled to length 1; None if it has no direction."""
    length = math.sqrt(math.fsum(x * x for x in vector)) if vector else 0.0
    return [x / length for x in vector] if 0 < length < math.inf else None


def _normalised(name: str, vector: Sequence[float]) -> list[float]:
    found = normalise(vector)
    if found is None:
        raise ProviderInvalidResponse(f"{name} sent an embedding that is empty, zero or not finite.")
    return found
