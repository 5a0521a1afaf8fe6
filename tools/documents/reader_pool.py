"""The parent's side of reading files: hands each to a nursery (`nursery.py`), waits for no longer than it may take, and takes
what comes back for a stranger's word.

    async with Reader(slots=2) as reader:
        document = await reader.read(path, "Contract.pdf", ChunkSettings())     # or Unreadable

A read that is cancelled or takes too long is killed with its nursery; the next read in that slot starts another.
"""

import asyncio
import os
import signal
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from schema.errors import Unavailable
from tools.documents.blocks import Unreadable
from tools.documents.chunking import ChunkSettings
from tools.documents.fork_server import END, LENGTH, ReadRequest, command
from tools.documents.read_document import TOO_MUCH, Answer, ReadDocument, Refused

START_S = 60.0
"""How long a nursery may take to import the parsers; on an idle machine it is under a second."""

_CODES = "empty damaged encrypted unsupported mislabelled too_large bomb took_too_long needs_too_much no_text"
CODES = frozenset(_CODES.split())
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
"""All that a nursery knows. One thread, or forking would not be safe."""

MAX_MESSAGE, MAX_NAME = 500, 255
PIECE = 256 * 1024


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What one file may cost: seconds of processor time and on the clock, memory of the child (a little more than half of
    `megabytes` is for the file, the rest is Python and the parsers; `ocr_megabytes` hold for images and PDF files), and
    bytes of the answer, which the parent holds in memory."""

    cpu_s: int = 60
    wall_s: float = 90.0
    megabytes: int = 512
    ocr_megabytes: int = 2048
    answer_bytes: int = 64 * 1024 * 1024


class ReaderPool:
    """Reads files in children, `slots` at a time; more wait for their turn."""

    def __init__(self, *, slots: int = 2) -> None:
        self._slots = [_Slot() for _ in range(slots)]
        self._free: asyncio.LifoQueue[_Slot] = asyncio.LifoQueue()

    async def __aenter__(self) -> Self:
        """Start the nurseries. Raises Unavailable when they can't be."""
        try:
            async with asyncio.TaskGroup() as group:
                for slot in self._slots:
                    group.create_task(slot.nursery())
        except ExceptionGroup as failed:
            await self.__aexit__(None, None, None)
            raise failed.exceptions[0] from None
        for slot in self._slots:
            self._free.put_nowait(slot)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for slot in self._slots:
            slot.kill()
        for slot in self._slots:
            await slot.buried()

    async def read(
        self, path: Path, name: str, settings: ChunkSettings, *, limits: ReadLimits = ReadLimits()
    ) -> ReadDocument:
        """Read the file at `path`, which its owner calls `name`. Raises Unreadable; Unavailable when no child can be started
        here, which is not the file's fault. The time on the clock counts from when a slot is free."""
        slot = await self._free.get()
        try:
            with _opened(path) as file:
                return await slot.read(file.fileno(), name, settings, limits)
        finally:
            self._free.put_nowait(slot)


class _Lost(Exception):
    """The nursery is gone."""


class _Slot:
    """The place of one nursery: started when it is needed, replaced when it is dead."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._dying: set[asyncio.Task[int]] = set()

    async def read(self, file: int, name: str, settings: ChunkSettings, limits: ReadLimits) -> ReadDocument:
        request = ReadRequest(
            name=name.encode("utf-8", "replace")[:MAX_NAME].decode("utf-8", "ignore"),
            settings=settings,
            cpu_s=limits.cpu_s,
            megabytes=limits.megabytes,
            ocr_megabytes=limits.ocr_megabytes,
            answer_bytes=limits.answer_bytes,
        )
        for _ in range(2):  # a nursery that died since its last file is not this file's fault
            control = await self.nursery()
            try:
                async with asyncio.timeout(limits.wall_s):
                    packed, end = await _ask(control, file, request)
            except TimeoutError:
                self.kill()
                raise _took_too_long() from None
            except _TooLarge:
                self.kill()
                raise Unreadable("too_large", "The file holds too much text; split it up.") from None
            except (_Lost, OSError):
                self.kill()
            except BaseException:
                self.kill()
                raise
            else:
                return _document(packed, *end, limits)
        raise Unreadable(TOO_MUCH.code, TOO_MUCH.message)

    async def nursery(self) -> socket.socket:
        """The socket to a nursery that lives and is waiting. Raises Unavailable."""
        if self._control is not None:
            return self._control
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *command(os.getpid()),
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                cwd="/",
                env=ENVIRONMENT,
                start_new_session=True,
            )
        self._control = ours
        try:
            async with asyncio.timeout(START_S):
                await _receive_end(ours)
        except (_Lost, OSError, TimeoutError):
            self.kill()
            raise Unavailable("The process that reads files can't be started here; see the log.") from None
        except BaseException:
            self.kill()
            raise
        return ours

    def kill(self) -> None:
        """End the nursery and whatever it is reading, at once. Its burial is left to the loop."""
        process, control, self._process, self._control = self._process, self._control, None, None
        if control is not None:
            control.close()
        if process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            burial = asyncio.ensure_future(process.wait())
            self._dying.add(burial)
            burial.add_done_callback(self._dying.discard)

    async def buried(self) -> None:
        """Wait until everything that was killed is gone."""
        await asyncio.gather(*self._dying)


class _TooLarge(Exception):
    """The answer is longer than it may be."""


def _opened(path: Path) -> BinaryIO:
    """The file, open. Raises Unreadable for what is no ordinary file: a pipe would never end."""
    try:
        file = open(  # noqa: SIM115 - the caller closes it
            path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)
        )
    except IsADirectoryError:
        raise _no_file() from None
    except OSError:
        raise Unreadable("damaged", "The file is not there any more; upload it again.") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise _no_file()
    return file


async def _ask(control: socket.socket, file: int, request: ReadRequest) -> tuple[bytearray, tuple[int, int, float]]:
    """Send the request with the file and a pipe; return what came through the pipe, and how the grandchild ended."""
    ours, theirs = os.pipe()
    try:
        packed = msgspec.msgpack.encode(request)
        socket.send_fds(control, [LENGTH.pack(len(packed)) + packed], [file, theirs])
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    received = await _all_of(ours, request.answer_bytes)
    return received, await _receive_end(control)


async def _all_of(pipe: int, most: int) -> bytearray:
    """All that comes through a pipe, which is closed in the end. Raises _TooLarge."""
    stream = asyncio.StreamReader(limit=PIECE)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(pipe, "rb"))
    received = bytearray()
    try:
        while piece := await stream.read(PIECE):
            received += piece
            if len(received) > most:
                raise _TooLarge
        return received
    finally:
        transport.close()


async def _receive_end(control: socket.socket) -> tuple[int, int, float]:
    packed = b""
    while len(packed) < END.size:
        piece = await asyncio.get_running_loop().sock_recv(control, END.size - len(packed))
        if not piece:
            raise _Lost
        packed += piece
    return END.unpack(packed)


def _document(packed: bytearray, status: int, memory: int, cpu_s: float, limits: ReadLimits) -> ReadDocument:
    """The document in an answer. Raises Unreadable for a refusal, and for a grandchild that died."""
    if status:
        raise _died(status, memory, cpu_s, limits)
    try:
        answer = _decoder.decode(packed)
    except (msgspec.MsgspecError, ValueError):  # it was taken over, or wrote half an answer
        raise _damaged() from None
    if isinstance(answer, Refused):
        message = " ".join(answer.message.split())[:MAX_MESSAGE]
        raise Unreadable(answer.code, message) if answer.code in CODES else _damaged()
    return answer


_decoder = msgspec.msgpack.Decoder(Answer)


def _died(status: int, memory: int, cpu_s: float, limits: ReadLimits) -> Unreadable:
    """Which limit ended a grandchild: the kernel kills for time; libraries abort, or fall over, without memory."""
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if ended_by == signal.SIGXCPU or (ended_by == signal.SIGKILL and cpu_s >= limits.cpu_s - 1):
        return _took_too_long()
    aborted = ended_by in (signal.SIGKILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGILL)
    if aborted or memory > limits.megabytes * 1024 * 1024 * 0.6:
        return Unreadable(TOO_MUCH.code, TOO_MUCH.message)
    return _damaged()


def _no_file() -> Unreadable:
    return Unreadable("unsupported", "This is not a file that can be read; upload a file.")


def _took_too_long() -> Unreadable:
    return Unreadable("took_too_long", "Reading the file took longer than it may; split it up.")


def _damaged() -> Unreadable:
    return Unreadable("damaged", "The file is damaged in a way that its reader did not survive; save it again.")
