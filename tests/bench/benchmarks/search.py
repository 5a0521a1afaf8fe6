"""Searches over very many chunks: how long they take, and how much of what exact search finds they find.

Queries go the way of users' searches (`workers/retrieval`), with a vector that is there already: what a vector costs is
measured elsewhere. Vectors and words are synthetic (`load/synthetic_library.py`); search quality on real texts is measured in
`quality.py`.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np
import psycopg

from schema.postgres.connections import Pool, pool_for, tenant_tx
from schema.queries.documents.search import Filters, find_nearest, find_scope
from tests.bench.load.synthetic_library import Library, Reader, create_library, drop_library, phrase
from tests.bench.plan import Plan
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.reporting.percentiles import percentile, spread
from tests.bench.testbed import Testbed
from workers.retrieval.request import SearchRequest
from workers.retrieval.search import DEPTH, Searcher

NEED_RECALL, NEED_MS, AT = 0.95, 50.0, 1_000_000
TOP, QUESTIONS, WARM = 10, 200, 40
WAYS: dict[str, dict[str, Any]] = {
    "by meaning": {"mode": "vector"},
    "hybrid": {"mode": "hybrid"},
}


class Given:
    """An embedder that gives the vector which was put in."""

    def __init__(self) -> None:
        self.vector: list[float] = []

    async def embed(self, texts: Sequence[str], *, purpose: str, embedder: str) -> list[list[float]]:
        return [self.vector for _ in texts]


async def measure_search(bed: Testbed, plan: Plan) -> Measurement:
    """Fill a database of each size, search it as many tenants, remove it."""
    found = Measurement(name="search", title="Searches: time, and recall@10 against exact search")
    for chunks in plan.chunks:
        library = await asyncio.to_thread(create_library, bed.database_url, chunks)
        try:
            await _measure(library, found)
        finally:
            await asyncio.to_thread(drop_library, library)
    return found


async def _measure(library: Library, found: Measurement) -> None:
    random = np.random.default_rng(3)
    need_ms = NEED_MS if library.chunks >= AT else None
    asked = [(reader, None) for reader in _drawn(library, random)]
    in_collections = [(reader, [reader.collections[int(random.integers(4))]]) for reader, _ in asked]
    given = Given()
    async with pool_for(library.url, "headrace_app", max_size=4) as pool:
        for what, places in (("tenant", asked), ("one collection", in_collections)):
            recalls = [await _recall(pool, library, reader, within, random) for reader, within in places]
            where = f"{library.chunks:,} chunks, {what}"
            recall = sum(recalls) / len(recalls)
            found.lines.append(_line(f"recall@10, {where}", recall, "", NEED_RECALL, at_least=True))
            for name, how in WAYS.items():
                took = await _times(pool, library, given, places, random, **how)
                found.runs.append({f"{name}, {where}": spread(took)})
                required = need_ms if name == "by meaning" else None
                found.lines.append(_line(f"{name}, {where}, p50", percentile(took, 0.5), "ms"))
                found.lines.append(_line(f"{name}, {where}, p95", percentile(took, 0.95), "ms", required))
    found.notes.append(_told(library))


def _drawn(library: Library, random: np.random.Generator) -> list[Reader]:
    """Return who asks: a third each of the largest tenants, of those between, and of the small."""
    ordered = sorted(library.tenants, key=lambda reader: -reader.chunks)
    thirds = ordered[:4], ordered[4:16], ordered[16:]
    return [chosen[int(random.integers(len(chosen)))] for _ in range(QUESTIONS // 3) for chosen in thirds if chosen]


async def _recall(
    pool: Pool, library: Library, reader: Reader, within: Sequence[UUID] | None, random: np.random.Generator
) -> float:
    """Return how many of the ten nearest a search finds, as a share; 1 where there is nothing to find."""
    vector = library.question(reader, random)
    async with tenant_tx(pool, reader.id) as db:
        scope = await find_scope(db, reader.id, None, collections=within, filters=Filters())
        found = await find_nearest(db, scope, library.space, vector, limit=DEPTH)
        exact = await find_nearest(db, scope, library.space, vector, limit=TOP, exact=True)
    right = {row.chunk_id for row in exact}
    return len(right & {row.chunk_id for row in found[:TOP]}) / len(right) if right else 1.0


async def _times(
    pool: Pool,
    library: Library,
    given: Given,
    places: Sequence[tuple[Reader, Sequence[UUID] | None]],
    random: np.random.Generator,
    **how: Any,
) -> list[float]:
    """Return what each search took, in milliseconds; the first ones only warm what is read."""
    searcher, took = Searcher(pool, given), list[float]()
    for reader, within in [*places[:WARM], *places]:
        given.vector = library.question(reader, random)
        names = None if within is None else [str(one) for one in within]
        query = phrase(random, 6)
        began = time.perf_counter()
        await searcher.search(SearchRequest(tenant_id=reader.id, reader=None, query=query, collections=names, **how))
        took.append((time.perf_counter() - began) * 1e3)
    return took[min(WARM, len(places)) :]


def _line(what: str, figure: float, unit: str, need: float | None = None, *, at_least: bool = False) -> Line:
    return Line(what=what, figure=figure, unit=unit, need=need, sense="at least" if at_least else "at most")


def _told(library: Library) -> str:
    with psycopg.connect(library.url) as db:
        row = db.execute("SHOW shared_buffers").fetchone()
    assert row is not None
    return (
        f"{library.chunks:,} chunks, {len(library.tenants)} tenants of {min(one.chunks for one in library.tenants):,} to "
        f"{max(one.chunks for one in library.tenants):,}: loaded in {library.load_s:.0f} s, indexes built in "
        f"{library.build_s:.0f} s; vectors {library.table_bytes / 2**20:,.0f} MB, their HNSW "
        f"{library.index_bytes / 2**20:,.0f} MB; shared_buffers {row[0]}"
    )
