"""How fast files become searchable, against the embedding engine alone on the same texts; one worker, two, and their memory."""

import asyncio
import json
import random
import time
from collections.abc import Sequence

import aiohttp
import psutil

from graphs.embeddings.minilm import MiniLM
from tests.bench.plan import Plan
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.testbed import Testbed
from tools.documents.blocks import Block
from tools.documents.chunking import ChunkSettings, chunk_blocks

WORDS = (
    "the mill wheel turns slowly while water from river passes sluice gate and channel under old stone bridge where workers "
    "repair bearings paddles and chains before winter invoices contracts deliveries customers orders leave policy travel "
    "approval receipts warehouse shipment container harbour customs insurance claim report revenue quarter budget forecast"
)
NEED_RATIO = 0.9
PARAGRAPHS, SENTENCES, LENGTH = 8, 6, 16


def write_file(number: int) -> str:
    """About 5 KB of text that no other file has, with a heading."""
    chance = random.Random(number)
    lines = [f"Report {number}"]
    for _ in range(PARAGRAPHS):
        sentences = (" ".join(chance.choices(WORDS.split(), k=LENGTH)).capitalize() + "." for _ in range(SENTENCES))
        lines.append(" ".join(sentences))
    return "\n\n".join(lines)


async def measure_ingestion(bed: Testbed, plan: Plan) -> Measurement:
    """The same files for the engine alone and for headrace: what is between them is reading, cutting, Postgres and the job."""
    found = Measurement(name="ingestion", title="Files that become searchable")
    files = [write_file(number) for number in range(3 * plan.files)]
    thirds = [files[begin : begin + plan.files] for begin in range(0, len(files), plan.files)]
    texts = [
        chunk.text
        for file in thirds[0]
        for chunk in chunk_blocks([Block("text", p) for p in file.split("\n\n")], ChunkSettings())
    ]
    engine = MiniLM()
    await engine.embed(["warm"])
    await ingested(bed, bed.tenant("warm"), [write_file(-1)])
    alone = await _alone(engine, texts)
    one, chunks = await ingested(bed, bed.tenant("one"), thirds[0])
    again = await _alone(engine, texts)
    memory = _memory(bed, "ingestion")
    per_s, engine_per_s = chunks / one, len(texts) / min(alone, again)
    bed.system.start("ingestion2")
    await bed.system.ready("ingestion2")
    began = time.monotonic()
    both = await asyncio.gather(*(ingested(bed, bed.tenant("two"), part) for part in thirds[1:]))
    two_per_s = sum(chunks for _, chunks in both) / (time.monotonic() - began)
    bed.system.kill("ingestion2")
    found.runs.append({"alone_s": [alone, again], "one_s": one, "two_s": [took for took, _ in both], "chunks": chunks})
    found.lines += [
        Line(what="chunks a second, the engine and one worker", figure=per_s / engine_per_s, unit="of it",
             direct=engine_per_s, through=per_s, need=NEED_RATIO, sense="at least"),
        Line(what="chunks a second, one worker and two", figure=two_per_s / per_s, unit="times", direct=per_s,
             through=two_per_s),
        Line(what="memory of a worker, after the batch", figure=memory, unit="MB"),
    ]  # fmt: skip
    found.notes.append(f"{plan.files} files of 5 KB, {chunks} chunks; with two workers the stores share the two cores.")
    return found


async def _alone(engine: MiniLM, texts: Sequence[str]) -> float:
    began = time.monotonic()
    await engine.embed([f"{text} " for text in texts])
    return time.monotonic() - began


async def ingested(bed: Testbed, key: str, files: Sequence[str], *, collection: str = "bench") -> tuple[float, int]:
    """Upload the files as one batch; return the seconds from the first event of its worker to the last, and its chunks."""
    form, began, chunks = aiohttp.FormData({"collection": collection}), 0.0, 0
    for number, text in enumerate(files):
        form.add_field("file", text.encode(), filename=f"{number}.txt")
    headers = {"Authorization": f"Bearer {key}", "Accept": "text/event-stream"}
    async with (
        aiohttp.ClientSession(read_bufsize=1 << 20, timeout=aiohttp.ClientTimeout(total=1200)) as http,
        http.post(f"{bed.system.url}/api/documents", data=form, headers=headers) as answer,
    ):
        assert answer.status == 200, await answer.text()
        kind = ""
        async for raw in answer.content:
            line = raw.decode()
            if line.startswith("event: "):
                kind = line[7:].strip()
                began = began or (time.monotonic() if kind == "job.started" else 0.0)
            elif line.startswith("data: ") and kind == "document.ready":
                chunks += json.loads(line[6:])["chunks"]
            assert kind not in ("job.failed", "document.failed", "job.restarted"), line
    return time.monotonic() - began, chunks


def _memory(bed: Testbed, name: str) -> float:
    """Of the process and its children, what is theirs alone, in MB."""
    process = psutil.Process(bed.system.processes[name].pid)
    return sum(one.memory_full_info().uss for one in (process, *process.children(recursive=True))) / 1e6
