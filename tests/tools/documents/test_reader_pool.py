"""Reading files in children: what comes back, what limits do, and that nothing is left behind."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from schema.errors import Unavailable
from tests.tools.documents.sample_files import LEAVE, make_image, make_pdf
from tests.waiting import PATIENCE_S
from tools.documents import reader_pool as reader_module
from tools.documents.blocks import Unreadable
from tools.documents.chunking import ChunkSettings
from tools.documents.reader_pool import ReaderPool, ReadLimits
from tools.run_sandboxed import ROOT

SETTINGS, LIMITS = ChunkSettings(), ReadLimits()
ENGLISH = "The office opens at eight and closes at half past five on every day that is a working day."
SLOW = "**a _b `c [d](" * 200_000
"""Markdown that keeps its parser busy for longer than any test waits."""


@pytest.fixture(scope="module")
async def reader() -> AsyncIterator[ReaderPool]:
    async with ReaderPool(slots=1) as opened:
        yield opened


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "stored"
    path.write_text(f"# Hours\n\n{ENGLISH}\n")
    return path


async def refusal(reader: ReaderPool, path: Path, name: str, limits: ReadLimits = LIMITS) -> str:
    with pytest.raises(Unreadable) as caught:
        await reader.read(path, name, SETTINGS, limits=limits)
    return caught.value.code


def servers_of(pid: int) -> set[int]:
    """A process may have other children: these are told by their last word, which is whose they are."""
    return {child.pid for child in psutil.Process(pid).children() if str(pid) in _command(child)[-1:]}


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []


def _runs(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):  # it may end between two looks
        return psutil.Process(pid).status() != "zombie"
    return False


async def fork_servers(reader: ReaderPool) -> set[int]:
    """The processes that wait for files; the reader may have lost its own in the last test."""
    for slot in reader._slots:
        await slot.server()
    return {slot._process.pid for slot in reader._slots if slot._process}


READING_S = 0.05


async def gone(pids: set[int]) -> None:
    """Wait until none of them runs."""
    async with asyncio.timeout(PATIENCE_S):
        while any(_runs(pid) for pid in pids):
            await asyncio.sleep(0.01)


async def busy(worker: int) -> set[int]:
    """Wait until a server of the worker has a child that reads; return both. The worker may have other children. One that has
    just been forked doesn't read yet, nor has it asked to end with its parent."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with suppress(psutil.NoSuchProcess):  # one that was idle has ended meanwhile
                servers = [psutil.Process(pid) for pid in servers_of(worker)]
                children = (child for server in servers for child in server.children())
                if reading := [child for child in children if child.cpu_times().user >= READING_S]:
                    return {child.pid for child in (*servers, *reading)}
            await asyncio.sleep(0.01)


def freeze(pids: set[int]) -> set[int]:
    """Stop them all, so that none ends by itself."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return pids


async def test_a_file_becomes_chunks_with_their_places(reader: ReaderPool, note: Path) -> None:
    found = await reader.read(note, "note.md", SETTINGS)
    assert ("text/markdown", "en", None, len(f"Hours\n\n{ENGLISH}")) == (
        found.media_type,
        found.language,
        found.pages,
        found.characters,
    )
    assert [("Hours", f"Hours\n\n{ENGLISH}", 0)] == [(chunk.heading, chunk.text, chunk.place) for chunk in found.chunks]


async def test_the_chunks_of_a_pdf_say_their_pages_and_language(reader: ReaderPool, tmp_path: Path) -> None:
    (tmp_path / "pdf").write_bytes(make_pdf([[(12, LEAVE)] * 9, [(12, LEAVE)] * 9]))
    found = await reader.read(tmp_path / "pdf", "rules.pdf", ChunkSettings(400, 0))
    assert ("application/pdf", "vi", 2) == (found.media_type, found.language, found.pages)
    assert {1, 2} == {chunk.page for chunk in found.chunks}


async def test_an_image_is_read_with_more_memory_than_a_text_gets(reader: ReaderPool, tmp_path: Path) -> None:
    (tmp_path / "png").write_bytes(make_image("Invoice No 10498"))
    found = await reader.read(tmp_path / "png", "scan.png", SETTINGS, limits=ReadLimits(megabytes=256))
    assert ["Invoice No 10498"] == [chunk.text for chunk in found.chunks]


async def test_processor_time_that_runs_out_costs_only_the_file(reader: ReaderPool, tmp_path: Path, note: Path) -> None:
    (server,) = await fork_servers(reader)
    (tmp_path / "slow").write_text(SLOW)
    assert "took_too_long" == await refusal(reader, tmp_path / "slow", "slow.md", ReadLimits(cpu_s=1))
    assert 1 == len((await reader.read(note, "a.md", SETTINGS)).chunks)
    assert {server} == await fork_servers(reader)


async def test_time_on_the_clock_that_runs_out_kills_the_child(reader: ReaderPool, tmp_path: Path, note: Path) -> None:
    (server,) = await fork_servers(reader)
    (tmp_path / "slow").write_text(SLOW)
    assert "took_too_long" == await refusal(reader, tmp_path / "slow", "slow.md", ReadLimits(wall_s=0.5))
    await gone({server})
    assert 1 == len((await reader.read(note, "a.md", SETTINGS)).chunks)


async def test_memory_that_runs_out_is_said(reader: ReaderPool, tmp_path: Path, note: Path) -> None:
    (tmp_path / "large").write_text("[" + "1," * 8_000_000 + "1]")
    assert "needs_too_much" == await refusal(reader, tmp_path / "large", "large.json", ReadLimits(megabytes=256))
    assert 1 == len((await reader.read(note, "a.md", SETTINGS)).chunks)


async def test_an_answer_that_is_too_long_is_refused(reader: ReaderPool, tmp_path: Path) -> None:
    (server,) = await fork_servers(reader)
    (tmp_path / "long").write_text("word " * 10_000)
    assert "too_large" == await refusal(reader, tmp_path / "long", "long.txt", ReadLimits(answer_bytes=10_000))
    assert {server} == await fork_servers(reader)


async def test_a_cancelled_read_kills_the_child_that_reads(reader: ReaderPool, tmp_path: Path, note: Path) -> None:
    (tmp_path / "slow").write_text(SLOW)
    await fork_servers(reader)
    reading = asyncio.create_task(reader.read(tmp_path / "slow", "slow.md", SETTINGS))
    started = freeze(await busy(os.getpid()))
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await gone(started)
    assert 1 == len((await reader.read(note, "a.md", SETTINGS)).chunks)


async def test_a_fork_server_that_was_killed_is_replaced_without_a_word(reader: ReaderPool, note: Path) -> None:
    (server,) = await fork_servers(reader)
    os.kill(server, signal.SIGKILL)
    assert 1 == len((await reader.read(note, "a.md", SETTINGS)).chunks)
    assert {server} != await fork_servers(reader)


async def test_a_fork_server_is_small_and_has_one_thread(reader: ReaderPool) -> None:
    (pid,) = await fork_servers(reader)
    server = psutil.Process(pid)
    assert (1, True) == (server.num_threads(), server.memory_info().vms < 250 << 20)


async def test_more_files_than_slots_wait_for_their_turn(reader: ReaderPool, note: Path) -> None:
    found = await asyncio.gather(*(reader.read(note, f"{number}.md", SETTINGS) for number in range(12)))
    assert [1] * 12 == [len(document.chunks) for document in found]


async def test_nothing_is_left_when_the_reader_closes(note: Path) -> None:
    open_before, before = len(os.listdir("/proc/self/fd")), servers_of(os.getpid())
    async with ReaderPool(slots=2) as reader:
        await asyncio.gather(*(reader.read(note, "a.md", SETTINGS) for _ in range(2)))
        started = servers_of(os.getpid()) - before
    assert (2, set()) == (len(started), started & servers_of(os.getpid()))
    assert open_before == len(os.listdir("/proc/self/fd"))


async def test_fork_servers_come_and_go_with_the_files(note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is 50 MB: one is enough for a file at a time, and none for no file."""
    monkeypatch.setattr(reader_module, "IDLE_S", 0.1)
    before = servers_of(os.getpid())
    async with ReaderPool(slots=2) as reader:
        for _ in range(3):
            await reader.read(note, "a.md", SETTINGS)
            started = servers_of(os.getpid()) - before
            assert 1 == len(started)
            await gone(started)


async def test_what_is_no_ordinary_file_is_refused(reader: ReaderPool, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "unsupported" == await refusal(reader, tmp_path / "pipe", "a.txt")
    assert "unsupported" == await refusal(reader, tmp_path, "a.txt")
    assert "damaged" == await refusal(reader, tmp_path / "nowhere", "a.txt")


async def test_a_killed_worker_leaves_no_child_behind(tmp_path: Path) -> None:
    (tmp_path / "slow").write_text(SLOW)
    program = """if True:
        import asyncio, sys
        from pathlib import Path
        from tools.documents.reader_pool import ChunkSettings, ReaderPool
        async def main():
            async with ReaderPool(slots=2) as reader:
                await reader.read(Path(sys.argv[1]), "slow.md", ChunkSettings())
        asyncio.run(main())
    """
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(tmp_path / "slow"), cwd=ROOT)
    started = freeze(await busy(worker.pid))
    worker.kill()
    await worker.wait()
    await gone(started)


async def test_a_fork_server_that_cannot_start_is_not_the_files_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "server_command", lambda parent: ["/bin/false"])
    with pytest.raises(Unavailable):
        await ReaderPool(slots=2).__aenter__()
