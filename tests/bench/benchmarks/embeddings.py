"""How many texts a second the engines of all-MiniLM-L6-v2 embed, and how long a question takes; no processes are needed."""

import asyncio
import time

from graphs.embeddings.batching import Batcher
from graphs.embeddings.minilm import MiniLM
from graphs.embeddings.registry import open_embedder
from tests.bench.plan import Plan
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.reporting.percentiles import percentile, spread
from tests.bench.testbed import Testbed

WORDS = "the supplier delivers the goods within thirty days of the order and the buyer pays on receipt of them "
CHUNK = (WORDS * 11)[: len(WORDS) * 10 + 60]
"""About 207 tokens."""
TEXTS, QUESTIONS, NEED_MS = 48, 100, 10.0
THREADS = (1, 2)


async def measure_embeddings(bed: Testbed, plan: Plan) -> Measurement:
    """Chunks in one list and questions one by one, each new; then a question while another lane has many chunks."""
    found = Measurement(name="embeddings", title="Embedding with all-MiniLM-L6-v2")
    for threads in THREADS:
        title = f"onnxruntime, {threads} thread{'s' if threads > 1 else ''}"
        minilm = MiniLM(threads=threads)
        await minilm.embed(["warm"])
        began = time.perf_counter()
        await minilm.embed([f"{number} {CHUNK}" for number in range(TEXTS)])
        rate = TEXTS / (time.perf_counter() - began)
        took = [await _ms(minilm, f"Where is container number {number} now?") for number in range(QUESTIONS)]
        found.runs.append({title: spread(took), "texts_per_s": rate})
        found.lines += [
            Line(what=f"{title}: texts of 207 tokens", figure=rate, unit="1/s"),
            Line(what=f"{title}: a question, p50", figure=percentile(took, 0.5), unit="ms", need=NEED_MS),
        ]
    found.lines.append(Line(what="a question beside 2,000 chunks, p95", figure=await _beside(), unit="ms"))
    return found


async def _beside() -> float:
    batcher = Batcher(open_embedder())
    flood = asyncio.create_task(batcher.embed([f"{number} {CHUNK}" for number in range(2000)], lane="flood"))
    took = [await _ms(batcher, f"Which invoice is number {number}?", lane="question") for number in range(20)]
    await batcher.aclose()
    await asyncio.gather(flood, return_exceptions=True)
    return percentile(took, 0.95)


async def _ms(embedder: MiniLM | Batcher, text: str, **how: str) -> float:
    began = time.perf_counter()
    await embedder.embed([text], **how)
    return (time.perf_counter() - began) * 1000
