"""Gives the passages of a collection vectors of another embedder, in the background, while searches go on with the old."""

from collections.abc import Callable
from uuid import UUID

from graphs.providers.tokens import estimate_tokens
from schema.db import tenant_tx
from schema.errors import NotFound
from schema.events import Event, JobProgress, MessageCompleted, UsageRecorded
from schema.queries.documents import reembedding as queries
from schema.queries.jobs.attempts import ClaimedJob
from workers.ingestion.context import IngestionContext
from workers.ingestion.files import AT_ONCE, embedded_text

GONE = "The collection of this job was deleted."
OTHER = "Nothing was changed: the collection already has this embedder, or was given another one meanwhile."


async def reembed(
    context: IngestionContext, job: ClaimedJob, collection_id: str, emit: Callable[[Event], None]
) -> None:
    """Embed what has no vector in the next space, then search there. An attempt that takes over goes on where the last one
    was. Raises NotFound, and what stores and providers raise."""
    await _Change(context, job, UUID(collection_id), emit).run()


class _Change:
    def __init__(
        self, context: IngestionContext, job: ClaimedJob, collection_id: UUID, emit: Callable[[Event], None]
    ) -> None:
        self._context, self._job, self._id, self._emit = context, job, collection_id, emit
        self._tenant_id: UUID = job.tenant_id
        self._characters = 0

    async def run(self) -> None:
        embedder, live = await self._wanted()
        space = await self._context.embedders.space_of(embedder) if embedder else live
        if embedder is None or not await self._begin(embedder, space):
            while live and await self._dropped(live):
                pass  # what an earlier change left that was called off
            self._emit(MessageCompleted(text=OTHER))
            return
        while not await self._switched(space):
            await self._fill(embedder, space)
        while await self._dropped(space):
            pass
        if self._characters:
            tokens = estimate_tokens(self._characters)
            self._emit(UsageRecorded(model=embedder, input_tokens=tokens, output_tokens=0, estimated=True))
        self._emit(MessageCompleted(text=f"The collection is searched with {embedder}."))

    async def _wanted(self) -> tuple[str | None, int]:
        """Return the embedder that the collection is to have, if it is another, and the space that is searched (0: none)."""
        async with tenant_tx(self._context.pool, self._tenant_id) as db:
            collection = await queries.find_change(db, self._tenant_id, self._id)
        if collection is None:
            raise NotFound(GONE)
        return collection.next_embedder, collection.space or 0

    async def _begin(self, embedder: str, space: int) -> bool:
        async with tenant_tx(self._context.pool, self._tenant_id) as db:
            return await queries.embed_into(db, self._tenant_id, self._id, embedder, space)

    async def _switched(self, space: int) -> bool:
        """Whether the new space is what is searched now. True as well when somebody wants yet another embedder."""
        async with tenant_tx(self._context.pool, self._tenant_id) as db:
            if await queries.switch_space(db, self._tenant_id, self._id, space):
                return True
            collection = await queries.find_change(db, self._tenant_id, self._id)
        if collection is None:
            raise NotFound(GONE)
        return collection.next_space != space

    async def _fill(self, embedder: str, space: int) -> None:
        after: UUID | None = None
        while True:
            async with tenant_tx(self._context.pool, self._tenant_id) as db:
                rows = await queries.list_missing(db, self._tenant_id, self._id, space, after=after, limit=AT_ONCE)
            if not rows:
                return
            after = rows[-1].id
            await self._embed(rows, embedder, space)

    async def _embed(self, rows: list[queries.UnembeddedChunk], embedder: str, space: int) -> None:
        texts = {row.digest: embedded_text(row.heading, row.text) for row in rows}
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

    async def _dropped(self, space: int) -> int:
        """Delete a batch of the old vectors, unless they are searched again."""
        async with tenant_tx(self._context.pool, self._tenant_id) as db:
            collection = await queries.find_change(db, self._tenant_id, self._id)
            if collection is None or collection.space != space or collection.next_space is not None:
                return 0
            return await queries.drop_other_vectors(db, self._tenant_id, self._id, space)
