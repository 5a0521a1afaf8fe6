"""`python -m tests.retrieval.others [minilm|e5] [seen|unseen]`: searches documents of people who knew
neither the search nor the other sets. Only totals by kind are printed: `seen` may be looked at, `unseen` is scored once per
release.

The documents are read and cut as in ingestion. Right is a question whose passage is in one of the first five, or, of a near
miss, one that is said not to be in the documents.
"""

import asyncio
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from api.local.stores.local_stores import open_stores
from graphs.embeddings.registry import OpenEmbedder, open_embedder
from schema.installation.migrate import migrate
from schema.postgres.connections import pool_for
from tests.conftest import make_tenant
from tests.retrieval.document_tables import DocumentRows, DocumentTables
from tools.documents.chunking import ChunkSettings
from tools.documents.read_document import ReadOptions, read_document
from workers.ingestion.files import text_to_embed
from workers.retrieval.request import SearchRequest, SearchResult
from workers.retrieval.search import Searcher

OTHERS = Path(__file__).parent / "data" / "others"
FIRST = 5
NEAR_MISS = "near_miss"


class QueryEmbedder:
    """An embedder in this process that embeds queries as such."""

    def __init__(self, embedder: OpenEmbedder) -> None:
        self._embedder = embedder

    async def embed(self, texts: Sequence[str], *, purpose: str, embedder: str) -> list[list[float]]:
        return await self._embedder.embed(list(texts), "query")


async def store(tables: DocumentTables, half: str, embedder: OpenEmbedder) -> None:
    """Read, cut, embed and store the documents of a half."""
    written = []
    for path in sorted((OTHERS / half / "docs").iterdir()):
        with path.open("rb") as file:
            document = read_document(file, path.name, ChunkSettings(), ReadOptions())
        texts = [text_to_embed(chunk.heading, chunk.text) for chunk in document.chunks]
        vectors = await embedder.embed(texts, "passage")
        written.append(
            DocumentRows(
                name=path.name,
                passages=[chunk.text for chunk in document.chunks],
                headings=[chunk.heading for chunk in document.chunks],
                vectors=vectors,
                language=document.language,
            )
        )
    space = tables.space(embedder.space, 384)
    tables.add(tables.collection("others", space=space, embedder=embedder.engine), *written, space=space)


def is_right(question: dict[str, str | None], result: SearchResult) -> bool:
    """Whether the first passages have the one that answers."""
    wanted = _plain(question["passage"] or "")
    return any(wanted in _plain(passage.text) for passage in result.passages[:FIRST])


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


async def main(arguments: Sequence[str], database_url: str) -> None:
    """Measure one half with one embedder, and print totals."""
    half = "unseen" if "unseen" in arguments else "seen"
    embedder = open_embedder(next((one for one in arguments if one in ("minilm", "e5")), "minilm"))
    tables = DocumentTables(database_url, make_tenant(database_url).id)
    await store(tables, half, embedder)
    questions = [json.loads(line) for line in (OTHERS / half / "questions.jsonl").read_text().splitlines()]
    asked, right, declined = Counter[str](), Counter[str](), Counter[str]()
    async with pool_for(database_url, "headrace_app", max_size=4) as pool:
        searcher = Searcher(pool, QueryEmbedder(embedder))
        for question in questions:
            request = SearchRequest(tenant_id=tables.tenant_id, reader=None, query=question["question"])
            result = await searcher.search(request)
            kinds = [question["kind"]] if question["kind"] == NEAR_MISS else [question["kind"], "answered"]
            for kind in kinds:
                asked[kind] += 1
                right[kind] += kind != NEAR_MISS and is_right(question, result)
                declined[kind] += not result.found
    print(f"{half}, {embedder.space}: among the first {FIRST}; said not to be in the documents")
    for kind in sorted(asked):
        print(f"{kind:12}{asked[kind]:5}{right[kind] / asked[kind]:8.1%}{declined[kind] / asked[kind]:8.1%}")


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory(prefix="headrace-retrieval-") as folder,
        open_stores(Path(folder) / "home", durable=False) as running,
    ):
        migrate(running.database_url)
        asyncio.run(main(sys.argv[1:], running.database_url))
