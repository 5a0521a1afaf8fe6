"""Hostile files: each ends within its limits with a code and a sentence, and the next file is read."""

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from tests.tools.documents.hostile_files import CANARY, HOSTILE, MIB, READ
from tests.waiting import PATIENCE_S
from tools.documents.blocks import Unreadable
from tools.documents.chunking import ChunkSettings
from tools.documents.reader_pool import KNOWN_CODES, ReaderPool, ReadLimits
from tools.run_sandboxed import ROOT

LIMITS = ReadLimits(cpu_s=5, wall_s=30)
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]")
MAX_GROWTH = 200 * MIB


@pytest.fixture
async def reader() -> AsyncIterator[ReaderPool]:
    async with ReaderPool(slots=2) as opened:
        yield opened


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Path]:
    module = "tests.tools.documents.hostile_files"
    subprocess.run([sys.executable, "-m", module, str(tmp_path)], cwd=ROOT, check=True, timeout=PATIENCE_S)
    yield tmp_path
    shutil.rmtree(tmp_path)  # pytest would keep half a gigabyte


async def outcome(reader: ReaderPool, path: Path, name: str) -> tuple[str, str]:
    """The code, and all the text that came back."""
    try:
        document = await reader.read(path, name, ChunkSettings(), limits=LIMITS)
    except Unreadable as error:
        return error.code, error.message
    return READ, "\n".join([document.title, *document.notes, *(chunk.text for chunk in document.chunks)])


def faults(said: str) -> list[str]:
    """What no sentence for the uploader may hold: a traceback, a path or an object of ours, what stands in the file."""
    traces = re.findall(r"Traceback|Error\b|Exception|<class|0x[0-9a-f]+|/(?:\w+/)+\w+|\.py\b", said)
    return traces + ([CANARY] if CANARY in said else []) + ([] if said.endswith((".", "!")) else ["no sentence"])


async def test_hostile_files_are_refused_or_read_and_harm_nobody(reader: ReaderPool, files: Path) -> None:
    me, wrong = psutil.Process(), []
    before, most = me.memory_info().rss, 0

    async def judge(number: int) -> None:
        nonlocal most
        case, path = HOSTILE[number], files / str(number)
        code, said = await outcome(reader, path, case.name)
        most = max(most, me.memory_info().rss)
        seen = UNSEEN.findall(said) if code == READ else [*faults(said), *UNSEEN.findall(said)]
        if code not in case.codes or seen:
            wrong.append((case.name[:40], code, said[:200], seen))

    numbers = iter(range(len(HOSTILE)))

    async def judge_some() -> None:
        for number in numbers:
            await judge(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(judge_some())
    assert [] == wrong
    good = files / "good"
    good.write_text("The next file is read.")
    assert (READ, "\nThe next file is read.") == await outcome(reader, good, "good.txt")
    assert most - before < MAX_GROWTH


def test_the_corpus_is_large_and_its_codes_are_those_of_unreadable() -> None:
    assert len(HOSTILE) >= 40
    assert set() == {code for case in HOSTILE for code in case.codes} - KNOWN_CODES - {READ}
