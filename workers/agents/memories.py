"""The memories of a job's user, as tools and prompts use them."""

from collections.abc import Sequence
from uuid import UUID

from graphs.embeddings.registry import OpenEmbedder
from schema.ids import new_id
from schema.postgres.connections import Pool, tenant_tx
from schema.postgres.outages import retry_while_down
from schema.queries.sessions import memories
from tools.contract import Memory

MIN_SIMILARITY = 0.25
"""Cosine below which a memory is irrelevant to the question; unrelated sentences have about 0.1 in all-MiniLM-L6-v2."""
IN_PROMPT = 5


class UserMemories:
    """Implements `tools.contract.MemoryStore`."""

    def __init__(self, pool: Pool, embedder: OpenEmbedder, tenant_id: UUID, user_id: UUID | None) -> None:
        self._pool, self._embedder, self._tenant_id, self._user_id = pool, embedder, tenant_id, user_id

    async def remember(self, text: str) -> str:
        """Raises Unavailable."""
        (embedding,) = await self._embedder.embed([text])
        memory_id = new_id()

        async def store() -> None:  # twice is as once: an equal text is replaced
            async with tenant_tx(self._pool, self._tenant_id) as db:
                await memories.add_memory(
                    db,
                    self._tenant_id,
                    self._user_id,
                    memory_id,
                    text,
                    embedder=self._embedder.space,
                    embedding=embedding,
                )

        await retry_while_down(store)
        return str(memory_id)

    async def recall(self, query: str, k: int) -> Sequence[Memory]:
        """Raises Unavailable."""
        (embedding,) = await self._embedder.embed([query])

        async def read() -> list[memories.RecalledMemory]:
            async with tenant_tx(self._pool, self._tenant_id) as db:
                return await memories.recall_memories(
                    db,
                    self._tenant_id,
                    self._user_id,
                    embedder=self._embedder.space,
                    embedding=embedding,
                    limit=k,
                    near=MIN_SIMILARITY,
                )

        rows = await retry_while_down(read)
        return [Memory(str(row.id), row.text) for row in rows]

    async def forget(self, id: str) -> bool:
        """Raises Unavailable."""
        try:
            memory_id = UUID(id)
        except ValueError:
            return False
        async with tenant_tx(self._pool, self._tenant_id) as db:
            return await memories.delete_memory(db, self._tenant_id, self._user_id, memory_id)
