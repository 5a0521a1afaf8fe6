"""How often searches find what answers, by meaning, by words and by both: `tests/retrieval` says what is counted."""

import time
from collections.abc import Mapping

import psycopg

from graphs.embeddings.registry import open_embedder
from schema.installation.bootstrap import ensure_tenant
from schema.postgres.connections import pool_for
from tests.bench.plan import Plan
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.testbed import Testbed
from tests.retrieval.document_tables import DocumentTables
from tests.retrieval.labelled import read_questions, store_documents
from tests.retrieval.measurement import SEARCH_MODES, LocalEmbedder, RetrievalMetrics, Verdicts, judge_absence, measure
from workers.retrieval.search import Searcher

FIGURES = ("recall@5", "MRR", "nDCG@10")


async def measure_quality(bed: Testbed, plan: Plan) -> Measurement:
    """The held-out half of the labelled set, every way of searching; hybrid must be at least as good as each alone."""
    found = Measurement(name="retrieval", title="Whether searches find the passage that answers")
    with psycopg.connect(bed.database_url) as db:
        slug = f"retrieval-{time.monotonic_ns()}"
        tables = DocumentTables(bed.database_url, ensure_tenant(db, slug, slug))
    embedder, questions = open_embedder(), read_questions("held_out")
    names = await store_documents(tables, embedder)
    async with pool_for(bed.database_url, "headrace_app", max_size=4) as pool:
        searcher = Searcher(pool, LocalEmbedder(embedder))
        measured = {
            name: await measure(searcher, tables.tenant_id, names, questions, **how)
            for name, how in SEARCH_MODES.items()
        }
        verdicts = await judge_absence(searcher, tables.tenant_id, questions)
    _tell(found, measured, verdicts)
    return found


def _tell(found: Measurement, measured: Mapping[str, RetrievalMetrics], verdicts: Verdicts) -> None:
    figures = {name: dict(zip(FIGURES, one.figures(), strict=True)) for name, one in measured.items()}
    for name, own in figures.items():
        found.runs.append({name: own})
        for figure, value in own.items():
            alone = max(figures["vector"][figure], figures["text"][figure])
            need = alone if name == "hybrid" else None
            found.lines.append(Line(what=f"{figure}, {name}", figure=value, unit="", need=need, sense="at least"))
    for what, value in (("precision", verdicts.precision), ("recall", verdicts.recall)):
        found.lines.append(Line(what=f'"not in the documents", {what}', figure=value, unit=""))
