"""Re-embeds a collection with another embedder in the background, while searches use the old vectors."""

from collections.abc import Callable
from uuid import UUID

from graphs.providers.tokens import estimate_tokens
from schema.errors import NotFound
from schema.events import Event, JobProgress, MessageCompleted, UsageRecorded
from schema.postgres.connections import tenant_tx
from schema.queries.documents import reembedding as queries
from schema.queries.jobs.attempts import ClaimedJob
from workers.ingestion.context import IngestionContext
from workers.ingestion.files import BATCH_TEXTS, text_to_embed

COLLECTION_DELETED = "The collection of this job was deleted."
UNCHANGED = "Nothing was changed: the collection already has this embedder, or was given another one meanwhile."


async def reembed(
    context: IngestionContext, job: ClaimedJob, collection_id: str, emit: Callable[[Event], None]
) -> None:
    """Embed all chunks without a vector in the next space, then switch searches to it. A new attempt continues where the
    last one stopped. Raises NotFound, and errors of stores and providers."""
    await _Reembedding(context, job, UUID(collection_id), emit).run()


class _Reembedding:
    def __init__(
        self, context: IngestionContext, job: ClaimedJob, collection_id: UUID, emit: Callable[[Event], None]
    ) -> None:
        self._context, self._job, self._id, self._emit = context, job, collection_id, emit
        self._tenant_id: UUID = job.tenant_id
        self._characters = 0

    async def run(self) -> None:
        embedder, current_space = await self._find_embedder()
        space = await self._context.embedders.get_vector_space(embedder) if embedder else current_space
        if embedder is None or not await self._begin(embedder, space):
            while current_space and await self._delete_old_vectors(current_space):
                pass  # vectors that an earlier, abandoned change left
            self._emit(MessageCompleted(text=UNCHANGED))
            return
        while not await self._switch(space):
            await self._fill(embedder, space)
        while await self._delete_old_vectors(space):
            pass
        if self._characters:
            tokens = estimate_tokens(self._characters)
            used = UsageRecorded(model=embedder, input_tokens=tokens, output_tokens=0, estimated=True)
            self._emit(used.with_own_key() if self._job.credential else used)
        self._emit(MessageCompleted(text=f"The collection is searched with {embedder}."))

    async def _find_embedder(self) -> tuple[str | None, int]:
        """Return the collection's next embedder, if any, and the space that is searched now (0: none)."""
        async with tenant_tx(self._context.pool, self._tenant_id) as db:
            collection = await queries.find_embedder_change(db, self._tenant_id, self._id)
        if collection is None:
            raise NotFound(COLLECTION_DELETED)
        return collection.next_embedder, collection.space or 0

    async def _begin(self, embedder: str, space: int) -> bool:
        async with tenant_tx(self._context.pool, self._tenant_id) as db:
            return await queries.set_next_space(db, self._tenant_id, self._id, embedder, space)

    async def _switch(self, space: int) -> bool:
        """Switch searches to the new space; False if it is incomplete. True, too, if the embedder was changed again."""
        async with tenant_tx(self._context.pool, self._tenant_id) as db:
            if await queries.switch_space(db, self._tenant_id, self._id, space):
                return True
            collection = await queries.find_embedder_change(db, self._tenant_id, self._id)
        if collection is None:
            raise NotFound(COLLECTION_DELETED)
        return collection.next_space != space

    async def _fill(self, embedder: str, space: int) -> None:
        after: UUID | None = None
        while True:
            async with tenant_tx(self._context.pool, self._tenant_id) as db:
                rows = await queries.list_unembedded(
                    db, self._tenant_id, self._id, space, after=after, limit=BATCH_TEXTS
                )
            if not rows:
                return
            after = rows[-1].id
            await self._embed(rows, embedder, space)

    async def _embed(self, rows: list[queries.UnembeddedChunk], embedder: str, space: int) -> None:
        texts = {row.digest: text_to_embed(row.heading, row.text) for row in rows}
        batcher = self._context.embedders.get(embedder)
        vectors = await batcher.embed(list(texts.values()), lane=str(self._tenant_id), purpose="passage")
        self._characters += sum(map(len, texts.values()))
        async with tenant_tx(self._context.pool, self._tenant_id) as db:
            await queries.add_vectors(
                db,
                self._tenant_id,
                self._id,
                space,
                dict(zip(texts, vectors, strict=True)),
                job_id=self._job.id,
                attempt=self._job.attempt,
            )
            done, total = await queries.count_embedded(db, self._tenant_id, self._id, space)
        self._emit(JobProgress(text=f"{done} of {total} passages", done=done, total=total))

    async def _delete_old_vectors(self, space: int) -> int:
        """Delete a batch of the old vectors, unless the embedder was changed again; return how many."""
        async with tenant_tx(self._context.pool, self._tenant_id) as db:
            collection = await queries.find_embedder_change(db, self._tenant_id, self._id)
            if collection is None or collection.space != space or collection.next_space is not None:
                return 0
            return await queries.delete_other_vectors(db, self._tenant_id, self._id, space)
