"""`python -m tests.retrieval [dev]`: measures searches on the held-out half of the labelled set, or on the dev half."""

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from api.local.stores.local_stores import open_stores
from graphs.embeddings.registry import open_embedder
from schema.installation.migrate import migrate
from schema.postgres.connections import pool_for
from tests.conftest import make_tenant
from tests.retrieval.document_tables import DocumentTables
from tests.retrieval.labelled import Half, read_documents, read_questions, store_documents
from tests.retrieval.measurement import SEARCH_MODES, LocalEmbedder, RetrievalMetrics, judge_absence, measure
from workers.retrieval.search import Searcher


async def main(arguments: Sequence[str], database_url: str) -> None:
    """Measure every search mode and print tables."""
    half: Half = "dev" if "dev" in arguments else "held_out"
    questions, embedder = read_questions(half), open_embedder()
    tables = DocumentTables(database_url, make_tenant(database_url).id)
    names = await store_documents(tables, embedder)
    absent = sum(not question.relevant for question in questions)
    print(f"{half}: {len(questions) - absent} questions and {absent} without an answer,", end=" ")
    print(f"{len(read_documents())} documents, {len(names)} chunks, {embedder.engine}/{embedder.model}")
    async with pool_for(database_url, "headrace_app", max_size=4) as pool:
        searcher, found = Searcher(pool, LocalEmbedder(embedder)), dict[str, RetrievalMetrics]()
        for name, options in SEARCH_MODES.items():
            began = time.perf_counter()
            found[name] = await measure(searcher, tables.tenant_id, names, questions, **options)
            took_ms = (time.perf_counter() - began) * 1e3 / (len(questions) - absent)
            recall, reciprocal, gain = found[name].figures()
            said = f"recall@5 {recall:.3f}  MRR {reciprocal:.3f}  nDCG@10 {gain:.3f}"
            print(f"{name:20} {said}  ({took_ms:.1f} ms each)")
        print_groups(found)
        verdicts = await judge_absence(searcher, tables.tenant_id, questions)
    print(f'\n"not in the documents": precision {verdicts.precision:.3f}, recall {verdicts.recall:.3f}')


def print_groups(found: dict[str, RetrievalMetrics]) -> None:
    """Print nDCG@10 by kind and language."""
    any_of = next(iter(found.values()))
    print(f"\n{'nDCG@10':20}{'asked':>7}" + "".join(f"{name:>20}" for name in found))
    for group in any_of.gains:
        figures = "".join(f"{metrics.figures(group)[2]:20.3f}" for metrics in found.values())
        print(f"{group:20}{len(any_of.gains[group]):7}{figures}")


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory(prefix="headrace-retrieval-") as folder,
        open_stores(Path(folder) / "home", durable=False) as running,
    ):
        migrate(running.database_url)
        asyncio.run(main(sys.argv[1:], running.database_url))
