"""The child: it has the file and the pipe for its answer, and can do nothing else."""

import os
import socket
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pytest

from tools.documents import fork_server, read_document
from tools.documents.blocks import Block, ReadBlocks, Unreadable
from tools.documents.chunking import ChunkSettings
from tools.documents.fork_server import ReadRequest
from tools.documents.formats import ReadOptions
from tools.documents.media_types import TEXT
from tools.documents.read_document import ReadDocument, ReadFailure, ReadOutcome
from tools.sandbox import unsupported_reason

REQUEST = ReadRequest(
    name="a.txt", settings=ChunkSettings(), cpu_s=5, megabytes=400, ocr_megabytes=900, answer_bytes=100_000
)


def attempts(path: str) -> dict[str, Any]:
    """Things that a parser that was taken over would try."""
    return {
        "open another file": lambda: open("/etc/passwd").close(),
        "open its own file again": lambda: open(path).close(),
        "write": lambda: open(path + ".new", "w").close(),
        "delete": lambda: os.unlink(path),
        "call home": socket.socket,
        "start a process": os.fork,
        "kill its fork server": lambda: os.kill(os.getppid(), 0),
        "see its environment": lambda: open("/proc/self/environ").close(),
    }


def spy(file: BinaryIO, options: ReadOptions) -> ReadBlocks:
    """A reader of a format that tries them all, and tells what went through and what it holds."""
    done = []
    for name, attempt in attempts(file.read().decode().strip()).items():
        try:
            attempt()
        except OSError:
            continue
        done.append(name)
    holds = [number for number in range(64) if is_open(number)]
    return ReadBlocks([Block("text", f"done: {done}, open: {len(holds) - 3}")])


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def read_with(reader: Any, path: Path, monkeypatch: pytest.MonkeyPatch, request: ReadRequest = REQUEST) -> ReadOutcome:
    """What a child of this process answers when `reader` is the reader of texts."""
    monkeypatch.setattr(read_document, "load_reader", lambda name: reader)
    file, (answers, pipe) = os.open(path, os.O_RDONLY), os.pipe()
    with os.fdopen(answers, "rb") as received:
        status, _, _ = fork_server._fork_child(request, file, pipe)
        assert 0 == status
        return msgspec.msgpack.decode(received.read(), type=ReadOutcome)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "stored"
    path.write_text(str(path))
    return path


@pytest.mark.skipif(bool(unsupported_reason()), reason="the kernel has no sandbox")
def test_the_child_can_do_nothing_but_read_its_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = read_with(spy, path, monkeypatch)
    assert isinstance(answer, ReadDocument)
    assert "done: [], open: 2" == answer.chunks[0].text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("secret of the file at /etc/passwd"), "damaged"),
        (RecursionError(), "damaged"),
        (MemoryError(), "needs_too_much"),
        (Unreadable("encrypted", "It needs a password."), "encrypted"),
    ],
)
def test_what_a_parser_raises_is_a_code_and_a_sentence_without_its_words(
    error: Exception, code: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(file: BinaryIO, options: ReadOptions) -> ReadBlocks:
        raise error

    answer = read_with(failing, path, monkeypatch)
    assert isinstance(answer, ReadFailure)
    assert (code, False, True) == (answer.code, "secret" in answer.message, answer.message.endswith("."))


@pytest.mark.parametrize(("head", "megabytes"), [(b"text", 400), (b"%PDF-1.7", 900), (b"\x89PNG\r\n", 900)])
def test_what_may_need_ocr_gets_more_memory(
    head: bytes, megabytes: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measuring(file: BinaryIO, options: ReadOptions) -> ReadBlocks:
        return ReadBlocks([Block("text", str(given[-1]))])

    given: list[int] = []  # the sandbox does not allow asking for limits
    monkeypatch.setattr(fork_server, "unsupported_reason", lambda: "")
    monkeypatch.setattr(fork_server, "enter_sandbox", lambda folders, megabytes, cpu_s: given.append(megabytes))
    monkeypatch.setattr(read_document, "detect", lambda file, name: TEXT)
    path.write_bytes(head)
    answer = read_with(measuring, path, monkeypatch)
    assert isinstance(answer, ReadDocument)
    assert str(megabytes) == answer.chunks[0].text
