"""The process that reads files: a fork server that has imported the parsers once and forks a child process for each file.

    parent (`reader_pool.py`) ──► fork server ──fork──► child: enters the sandbox, reads the file, writes its result, exits
           ▲  ▲   request + 2 open files          │       │
           │  └────────── exit report ────────────┘       │
           └───────────── result, through its own pipe ───┘

The fork server never touches a file's content: no file can harm it, and its memory doesn't grow. The child has the file and
the pipe, both open already, and nothing else: no environment, no other file, no socket (`tools/sandbox.py`; on kernels that
don't support the sandbox, memory, time and file sizes are still limited). Both die with their parent, however that dies.

Nothing can be written anywhere, so no temporary files are left behind.
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
from tools.documents.formats import READERS, ReadOptions, load_reader
from tools.documents.read_document import read_to_bytes
from tools.run_sandboxed import ROOT, readable_folders
from tools.sandbox import enter_sandbox, set_resource_limits, unsupported_reason

SERVER_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from tools.documents.fork_server import main; main(int(sys.argv[2]))"
)
LENGTH_PREFIX = struct.Struct("<I")
EXIT_REPORT = struct.Struct("<iqd")
"""How a child ended: its `waitpid` status, peak memory (bytes), and CPU time (seconds)."""

PR_SET_PDEATHSIG = 1
LAZY_FORMATS = {"image"}
"""Formats imported only in the child: the OCR libraries reserve half a gigabyte of address space, which would count against
every file, and start threads, which don't survive a fork."""

MAX_REQUEST = 64 * 1024
MAX_OPEN_FILES = 4096
IMAGE_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"BM")
PDF_SIGNATURE = b"%PDF-"
POST_OCR_CPU_S = 10.0
"""CPU seconds reserved for what comes after OCR."""


class ReadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to the fork server. `ocr_megabytes` is the memory limit for files that may need OCR."""

    name: str
    settings: ChunkSettings
    cpu_s: int
    megabytes: int
    ocr_megabytes: int
    answer_bytes: int


def main(parent: int) -> None:
    """Run the fork server: import the parsers, report ready, then serve one file at a time until the parent disconnects."""
    die_with_parent(parent)
    control = socket.socket(fileno=os.dup(0))
    for name in READERS.keys() - LAZY_FORMATS:
        load_reader(name)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    gc.collect()
    gc.freeze()  # so that children share these pages instead of copying them
    _discard_standard_streams()
    control.sendall(EXIT_REPORT.pack(0, 0, 0.0))
    while (received := _receive(control)) is not None:
        control.sendall(EXIT_REPORT.pack(*_fork_child(*received)))


def server_command(parent: int) -> list[str]:
    """The command line that starts a fork server; its control socket is standard input."""
    return [sys.executable, "-I", "-c", SERVER_PROGRAM, str(ROOT), str(parent)]


def die_with_parent(parent: int) -> None:
    """Have Linux kill this process when its parent dies; elsewhere it ends at its next message to the parent."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _discard_standard_streams() -> None:
    """Discard what libraries print, since it may quote the file. Errors during startup have been shown by now."""
    devnull = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(devnull, stream)
    os.close(devnull)


def _receive(control: socket.socket) -> tuple[ReadRequest, int, int] | None:
    """The next request, its file and the pipe for the result; None when the parent is gone."""
    head, files, _, _ = socket.recv_fds(control, LENGTH_PREFIX.size, 2)
    if len(head) < LENGTH_PREFIX.size or len(files) != 2:
        return None
    file, pipe = files
    (length,) = LENGTH_PREFIX.unpack(head)
    packed = b""
    while len(packed) < length:
        piece = control.recv(min(length - len(packed), MAX_REQUEST))
        if not piece:
            return None
        packed += piece
    return msgspec.msgpack.decode(packed, type=ReadRequest), file, pipe


def _fork_child(request: ReadRequest, file: int, pipe: int) -> tuple[int, int, float]:
    """Fork a child, wait for it, and return its exit report."""
    server = os.getpid()
    child = os.fork()
    if not child:
        try:
            die_with_parent(server)
            _close_all_except(file, pipe)
            _read_in_child(request, file, pipe)
        finally:
            os._exit(0)
    os.close(file)
    os.close(pipe)
    _, status, used = os.wait4(child, 0)
    return status, used.ru_maxrss * 1024, used.ru_utime + used.ru_stime


def _close_all_except(*kept: int) -> None:
    """Above all the control socket: whoever holds it could answer for the next file."""
    first = 3
    for number in sorted(kept):
        os.closerange(first, number)
        first = number + 1
    os.closerange(first, MAX_OPEN_FILES)


def _read_in_child(request: ReadRequest, file: int, pipe: int) -> None:
    """Runs in the child. All it needs, except for OCR, is opened or imported before it enters the sandbox."""
    with_ocr = _may_need_ocr(file)
    megabytes = max(request.ocr_megabytes, request.megabytes) if with_ocr else request.megabytes
    if unsupported_reason():
        set_resource_limits(megabytes, request.cpu_s)
    else:
        enter_sandbox(readable_folders(), megabytes=megabytes, cpu_s=request.cpu_s)
    options = ReadOptions(ocr_s=max(request.cpu_s - POST_OCR_CPU_S, request.cpu_s / 2))
    with open(file, "rb") as opened:
        packed = memoryview(read_to_bytes(opened, request.name, request.settings, options, request.answer_bytes))
    while packed:
        packed = packed[os.write(pipe, packed) :]


def _may_need_ocr(file: int) -> bool:
    """Whether the file starts like an image or a PDF. Bytes are only compared here, not parsed."""
    head = os.pread(file, 1024, 0)
    return head.startswith(IMAGE_SIGNATURES) or PDF_SIGNATURE in head
