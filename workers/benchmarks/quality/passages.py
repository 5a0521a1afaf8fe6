"""Which passages a search finds for a question, and at which rank the right ones are."""

from collections.abc import Sequence

from schema.queries.jobs.attempts import ClaimedJob
from workers.agents.context import AgentContext
from workers.benchmarks.quality.items import Item
from workers.benchmarks.quality.outcome import Outcome
from workers.benchmarks.quality.settings import QualitySettings
from workers.benchmarks.quality.summary import rank_figures
from workers.retrieval.request import FoundPassage, SearchRequest


async def judge_passages(context: AgentContext, job: ClaimedJob, settings: QualitySettings, item: Item) -> Outcome:
    """Return whether all expected passages are found, and their ranks. Raises NotFound for a collection that is gone."""
    request = SearchRequest(
        tenant_id=job.tenant_id,
        reader=job.user_id,
        visible_user_id=job.user_id,
        query=item.question,
        collections=settings.collections,
        k=settings.k,
    )
    result = await context.searcher.search(request)
    ranks = [rank_of(wanted, result.passages) for wanted in item.passages]
    figures = rank_figures(ranks, settings.k)
    found = [{"document": one.document, "chunk_id": str(one.chunk_id)} for one in result.passages]
    outcome = {"expected": item.passages, "ranks": ranks, "found": found, **figures}
    return figures["recall"] == 1, outcome


def rank_of(wanted: str, passages: Sequence[FoundPassage]) -> int | None:
    """Return the rank, from 1, of the first passage that is the wanted one; None if none is."""
    plain = " ".join(wanted.casefold().split())
    for rank, one in enumerate(passages, 1):
        names = (str(one.chunk_id), str(one.document_id), one.document, one.title)
        if wanted in names or plain in " ".join(one.text.casefold().split()):
            return rank
    return None
