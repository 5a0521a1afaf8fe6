"""A document of every format, ingested, searched and cited; and hostile ones beside them, which harm nobody."""

import asyncio
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from tests.journeys.client import Client
from tests.system import ROOT, System
from tests.tools.documents.hostile_files import HOSTILE, MIB
from tests.tools.documents.sample_files import (
    LEAVE,
    MARKDOWN,
    OFFICE,
    TEXT,
    make_docx,
    make_html,
    make_image,
    make_mail,
    make_pdf,
    make_pptx,
    make_scanned_pdf,
    make_xlsx,
)

OPENS = "When does the office open?"
VIETNAMESE = "Người lao động được nghỉ phép bao nhiêu ngày mỗi năm?"
PAGES = [[(12, "The first page is about bridges.")], [(12, LEAVE)], [(12, OFFICE)]]
FORMATS: dict[str, tuple[bytes, str, str, int | None]] = {
    "rules.docx": (make_docx(), OPENS, OFFICE, None),
    "talk.pptx": (make_pptx(), VIETNAMESE, LEAVE, 1),
    "staff.xlsx": (make_xlsx(), "What does Trần Văn Đức earn?", "21000000", 1),
    "page.html": (make_html().encode(), OPENS, OFFICE, None),
    "notes.md": (MARKDOWN.encode(), OPENS, OFFICE, None),
    "plain.txt": (TEXT.encode("utf-16"), VIETNAMESE, LEAVE, None),
    "stock.csv": (b"item;count\nwheels;12\npaddles;480\n", "how many paddles", "480", None),
    "orders.json": (b'[{"order": "A-17", "wheel": "oak"}, {"order": "A-18"}]', "order A-17", "oak", None),
    "mail.eml": (make_mail(), VIETNAMESE, LEAVE, None),
    "report.pdf": (make_pdf(PAGES), VIETNAMESE, LEAVE, 2),
    "scan.pdf": (make_scanned_pdf(["INVOICE 4711"]), "invoice 4711", "4711", 1),
    "photo.png": (make_image("CONTRACT 815"), "contract 815", "815", 1),
}
"""A file, a question, what the passage found must hold, and the page it stands on."""
SMALL = 3 * MIB
EVERY = 1 if os.environ.get("HEADRACE_TESTS") == "full" else 6
UNSENT = re.compile(r"[\x00-\x1f\x7f]")
"""What no client puts into a name."""


async def told_of(client: Client, job_id: str) -> list[Any]:
    async with await client.follow(job_id) as stream:
        return await stream.rest()


async def test_every_format_is_ingested_searched_and_cited(system: System, client: Client, worker: str) -> None:
    taken = await client.upload({name: content for name, (content, *_) in FORMATS.items()}, collection="formats")
    assert [] == taken["refused"]
    told = await told_of(client, taken["job_id"])
    assert {} == {e.data["name"]: e.data["error"] for e in told if e.type == "document.failed"}
    ids = {document["name"]: document["id"] for document in taken["documents"]}
    for name, (_, question, expected, page) in FORMATS.items():
        status, found = await client.post("/api/search", {"query": question, "documents": [ids[name]], "k": 3})
        assert 200 == status, found
        (first, *_) = [one for one in found["passages"] if expected in one["text"]]
        assert (name, page) == (name, first["page"])
    asked = {"message": VIETNAMESE, "model": "offline/extractive", "collections": ["formats"]}
    _, answer = await client.post("/api/chat", asked)
    assert LEAVE in answer["text"]
    assert {citation["document_id"] for citation in answer["citations"]} <= set(ids.values())


async def test_hostile_files_fail_by_themselves_and_the_worker_goes_on(
    system: System, client: Client, worker: str, tmp_path: Path
) -> None:
    """Those that are small enough to be sent quickly; the others are in `tests/tools/documents`."""
    module = "tests.tools.documents.hostile_files"
    await asyncio.to_thread(subprocess.run, [sys.executable, "-m", module, str(tmp_path)], cwd=ROOT, check=True)
    paths = [tmp_path / str(number) for number in range(len(HOSTILE))]
    chosen = [(case, path) for case, path in zip(HOSTILE, paths, strict=True) if path.stat().st_size < SMALL][::EVERY]
    process = psutil.Process(system.processes[worker].pid)
    before = process.memory_info().rss
    names = (f"{number} {UNSENT.sub('', Path(case.name).name)[-60:]}" for number, (case, _) in enumerate(chosen))
    files = dict(zip(names, (path.read_bytes() for _, path in chosen), strict=True))
    taken = await client.upload({**files, "good.txt": b"The mill stands by the river."})

    told = await told_of(client, taken["job_id"])

    outcome = Counter(event.type for event in told if event.type.startswith("document."))
    assert len(chosen) + 1 == len(taken["refused"]) + outcome.total()
    assert len(chosen) > 40 / EVERY
    assert all(one["message"].endswith((".", "!")) for one in taken["refused"])
    assert "good.txt" in [event.data["name"] for event in told if event.type == "document.ready"]
    assert not [event for event in told if event.type == "job.restarted"]
    assert process.is_running()
    assert process.memory_info().rss - before < 200 * MIB
    states = Counter(one["state"] for one in (await client.get("/api/documents?limit=100"))["items"])
    assert {"ready", "failed"} >= set(states)
