"""The process in which files are read: a *nursery* that has imported the parsers once, and forks a grandchild for each file.

    parent (`reader.py`) ──► nursery ──fork──► grandchild: shuts itself in, reads the file, writes its answer, ends
           ▲  ▲   request + 2 open files        │   │
           │  └────────── how it ended ─────────┘   │
           └───────────────── the answer, through a pipe of its own

The nursery touches no byte of a file: it can't be harmed by one, and its memory doesn't grow. The grandchild has the file and
the pipe, both open already, and nothing else: no environment, no other file, no socket (`tools/sandbox.py`; where
the kernel has no jail, memory, time and file sizes are bounded all the same). Both die with their parent, however that dies.

Nothing can be written anywhere, so there is no scratch folder that could be left behind.
"""

import ctypes
import gc
import os
import resource
import signal
import socket
import struct
import sys

import msgspec

from tools.documents.chunking import ChunkSettings
from tools.documents.formats import READERS, ReadOptions, load
from tools.documents.read_document import answer
from tools.run_sandboxed import ROOT, readable_folders
from tools.sandbox import enter_sandbox, set_resource_limits, unsupported_reason

CHILD = (
    "import sys; sys.path.insert(0, sys.argv[1]); from tools.documents.fork_server import main; main(int(sys.argv[2]))"
)
LENGTH = struct.Struct("<I")
END = struct.Struct("<iqd")
"""How a grandchild ended: its status as `waitpid` tells it, the most memory it had (bytes), its processor time (seconds)."""

PR_SET_PDEATHSIG = 1
LATE = {"image"}
"""Read with OCR, whose libraries take half a gigabyte of addresses, which count against every file, and start threads, which
don't survive a fork. A grandchild that needs them imports them."""

MAX_REQUEST = 64 * 1024
MOST_OPEN = 4096
PICTURE_HEADS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"BM")
PDF_HEAD = b"%PDF-"
CLEAN_END = 10.0
"""Seconds of processor time that are kept, where there is OCR, for what comes after it."""


class ReadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the nursery is asked. `ocr_megabytes` holds where text may have to be found in pictures."""

    name: str
    settings: ChunkSettings
    cpu_s: int
    megabytes: int
    ocr_megabytes: int
    answer_bytes: int


def main(parent: int) -> None:
    """The nursery's life: import, say so, then one file after the other until the parent hangs up."""
    die_with(parent)
    control = socket.socket(fileno=os.dup(0))
    for name in READERS.keys() - LATE:
        load(name)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    gc.collect()
    gc.freeze()  # so that grandchildren share these pages instead of copying them
    _forget_standard_streams()
    control.sendall(END.pack(0, 0, 0.0))
    while (received := _receive(control)) is not None:
        control.sendall(END.pack(*_raise_grandchild(*received)))


def command(parent: int) -> list[str]:
    """The words that start a nursery; it finds its socket as standard input."""
    return [sys.executable, "-I", "-c", CHILD, str(ROOT), str(parent)]


def die_with(parent: int) -> None:
    """Ask Linux to kill this process when its parent dies; elsewhere it ends with its next message to the parent."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _forget_standard_streams() -> None:
    """Libraries print what they read; that goes nowhere. Errors of the start were still seen."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _receive(control: socket.socket) -> tuple[ReadRequest, int, int] | None:
    """The next request, the file and the pipe for the answer; None when the parent is gone."""
    head, files, _, _ = socket.recv_fds(control, LENGTH.size, 2)
    if len(head) < LENGTH.size or len(files) != 2:
        return None
    file, pipe = files
    (length,) = LENGTH.unpack(head)
    packed = b""
    while len(packed) < length:
        piece = control.recv(min(length - len(packed), MAX_REQUEST))
        if not piece:
            return None
        packed += piece
    return msgspec.msgpack.decode(packed, type=ReadRequest), file, pipe


def _raise_grandchild(request: ReadRequest, file: int, pipe: int) -> tuple[int, int, float]:
    """Fork, wait, and tell the end: status, bytes, seconds."""
    nursery = os.getpid()
    child = os.fork()
    if not child:
        try:
            die_with(nursery)
            _close_all_but(file, pipe)
            _read_alone(request, file, pipe)
        finally:
            os._exit(0)
    os.close(file)
    os.close(pipe)
    _, status, used = os.wait4(child, 0)
    return status, used.ru_maxrss * 1024, used.ru_utime + used.ru_stime


def _close_all_but(*kept: int) -> None:
    """Above all the nursery's socket: whoever holds that could answer for the next file."""
    first = 3
    for number in sorted(kept):
        os.closerange(first, number)
        first = number + 1
    os.closerange(first, MOST_OPEN)


def _read_alone(request: ReadRequest, file: int, pipe: int) -> None:
    """The grandchild. Everything it needs is open or imported before it shuts itself in, but for what OCR needs."""
    with_ocr = _may_need_ocr(file)
    megabytes = max(request.ocr_megabytes, request.megabytes) if with_ocr else request.megabytes
    if unsupported_reason():
        set_resource_limits(megabytes, request.cpu_s)
    else:
        enter_sandbox(readable_folders(), megabytes=megabytes, cpu_s=request.cpu_s)
    options = ReadOptions(ocr_s=max(request.cpu_s - CLEAN_END, request.cpu_s / 2))
    with open(file, "rb") as opened:
        packed = memoryview(answer(opened, request.name, request.settings, options, request.answer_bytes))
    while packed:
        packed = packed[os.write(pipe, packed) :]


def _may_need_ocr(file: int) -> bool:
    """Whether the file begins as an image or a PDF does. Bytes are compared here, not parsed."""
    head = os.pread(file, 1024, 0)
    return head.startswith(PICTURE_HEADS) or PDF_HEAD in head
