"""A worker's embedders by name, each with its batcher and vector space."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

from graphs.embeddings.batching import Batcher
from graphs.embeddings.hosted import RetryDelay
from graphs.embeddings.purposes import Purpose
from graphs.embeddings.registry import OpenEmbedder, open_embedder
from graphs.providers.calls.log import noted_embedding
from schema.postgres.connections import Pool, connection
from schema.queries.documents.vector_spaces import ensure_vector_space


class EmbedderPool:
    """Opens embedders on first use and keeps them for the life of the process. `default` is the installation's, named `name`.

    With `retry_delay_s`, providers are retried after transient errors; with `max_chars`, batches are larger and a few
    percent faster. Both are for work that no user waits for."""

    def __init__(
        self,
        pool: Pool,
        name: str,
        default: OpenEmbedder,
        get_provider: Callable[[str], object],
        *,
        retry_delay_s: RetryDelay | None = None,
        max_chars: int | None = None,
    ) -> None:
        self._pool, self._get_provider, self._retry_delay_s = pool, get_provider, retry_delay_s
        self._max_chars, self._name = max_chars, name
        self._batchers: dict[str, Batcher] = {name: self._new_batcher(default)}
        self._spaces: dict[str, int] = {}

    def get(self, name: str) -> Batcher:
        """Return the batcher of an embedder. Raises ProviderUnknown, ModelUnknown."""
        if name not in self._batchers:
            opened = open_embedder(name, self._get_provider, retry_delay_s=self._retry_delay_s)
            same = (batcher for batcher in self._batchers.values() if batcher.embedder.space == opened.space)
            self._batchers[name] = next(same, None) or self._new_batcher(opened)
        return self._batchers[name]

    def _new_batcher(self, opened: OpenEmbedder) -> Batcher:
        return Batcher(opened, max_chars=None if opened.hosted else self._max_chars)

    async def embed(
        self, texts: Sequence[str], *, purpose: Purpose, embedder: str, lane: str = ""
    ) -> list[list[float]]:
        """Return a vector for each text. `lane` is the unit of fair sharing. Raises as `get` and the engine do."""
        with noted_embedding() if embedder == self._name else nullcontext():
            return await self.get(embedder).embed(texts, lane=lane or purpose, purpose=purpose)

    async def get_vector_space(self, name: str) -> int:
        """Return the id of the vector space of an embedder. Raises Conflict, Unavailable, and the errors of the provider,
        which is asked for a vector's length."""
        if name not in self._spaces:
            embedder = self.get(name).embedder
            dimensions = await embedder.measure()
            async with connection(self._pool) as db:
                self._spaces[name] = await ensure_vector_space(db, embedder.space, dimensions)
        return self._spaces[name]

    async def aclose(self) -> None:
        """Stop the batchers."""
        for batcher in self._batchers.values():
            await batcher.aclose()
