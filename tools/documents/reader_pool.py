"""Reads files in sandboxed child processes: sends each to a fork server (`fork_server.py`), enforces the time limit, and treats
what comes back as untrusted.

    async with ReaderPool(slots=2) as reader:
        document = await reader.read(path, "Contract.pdf", ChunkSettings())     # or Unreadable

A read that is cancelled or takes too long is killed along with its fork server; the next read in that slot starts a new one.
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
from tools.documents.fork_server import EXIT_REPORT, LENGTH_PREFIX, ReadRequest, server_command
from tools.documents.read_document import OUT_OF_MEMORY, ReadDocument, ReadFailure, ReadOutcome

IDLE_S = 60.0
"""How long a fork server waits for its next file; then it ends, and gives back 50 MB."""

STARTUP_TIMEOUT_S = 60.0
"""How long a fork server may take to import the parsers; under a second on an idle machine."""

_KNOWN_CODES = "empty damaged encrypted unsupported mislabelled too_large bomb took_too_long needs_too_much no_text"
KNOWN_CODES = frozenset(_KNOWN_CODES.split())
SERVER_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
"""The whole environment of a fork server. It must have one thread, or forking would not be safe."""

MAX_MESSAGE_CHARACTERS, MAX_NAME_BYTES = 500, 255
READ_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Limits for one file: CPU time, wall-clock time, memory of the child (about half of `megabytes` is taken by Python and the
    parsers; `ocr_megabytes` applies to images and PDF files), and size of the result, which the parent holds in memory."""

    cpu_s: int = 60
    wall_s: float = 90.0
    megabytes: int = 512
    ocr_megabytes: int = 2048
    answer_bytes: int = 64 * 1024 * 1024


class ReaderPool:
    """Reads up to `slots` files at a time; further reads wait."""

    def __init__(self, *, slots: int = 2) -> None:
        self._slots = [_Slot() for _ in range(slots)]
        self._free: asyncio.LifoQueue[_Slot] = asyncio.LifoQueue()

    async def __aenter__(self) -> Self:
        """Start a fork server; others are started when as many files are read at a time. Raises Unavailable if that fails."""
        first, *others = self._slots
        try:
            await first.server()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        for slot in (*others, first):
            slot.kill_when_idle()
            self._free.put_nowait(slot)  # the last one is taken first
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for slot in self._slots:
            slot.keep()
            slot.kill()
        for slot in self._slots:
            await slot.wait_until_dead()

    async def read(
        self, path: Path, name: str, settings: ChunkSettings, *, limits: ReadLimits = ReadLimits()
    ) -> ReadDocument:
        """Read the file at `path`, uploaded as `name`. Raises Unreadable, or Unavailable if no process can be started, which is
        not the file's fault. The wall-clock limit counts from when a slot is free."""
        slot = await self._free.get()
        slot.keep()
        try:
            with _open_regular_file(path) as file:
                return await slot.read(file.fileno(), name, settings, limits)
        finally:
            slot.kill_when_idle()
            self._free.put_nowait(slot)


class _ServerLost(Exception):
    """The fork server died."""


class _Slot:
    """Holds one fork server: starts it when needed, replaces it when it has died."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._terminating: set[asyncio.Task[int]] = set()
        self._idle: asyncio.TimerHandle | None = None

    async def read(self, file: int, name: str, settings: ChunkSettings, limits: ReadLimits) -> ReadDocument:
        request = ReadRequest(
            name=name.encode("utf-8", "replace")[:MAX_NAME_BYTES].decode("utf-8", "ignore"),
            settings=settings,
            cpu_s=limits.cpu_s,
            megabytes=limits.megabytes,
            ocr_megabytes=limits.ocr_megabytes,
            answer_bytes=limits.answer_bytes,
        )
        for _ in range(2):  # a fork server that died since its last file is not this file's fault
            control = await self.server()
            try:
                async with asyncio.timeout(limits.wall_s):
                    packed, end = await _send_request(control, file, request)
            except TimeoutError:
                self.kill()
                raise _took_too_long() from None
            except _TooLarge:
                self.kill()
                raise Unreadable("too_large", "The file contains too much text; split it up.") from None
            except (_ServerLost, OSError):
                self.kill()
            except BaseException:
                self.kill()
                raise
            else:
                return _parse_outcome(packed, *end, limits)
        raise Unreadable(OUT_OF_MEMORY.code, OUT_OF_MEMORY.message)

    async def server(self) -> socket.socket:
        """The control socket of a running fork server. Raises Unavailable."""
        if self._control is not None:
            return self._control
        parent_end, child_end = socket.socketpair()
        parent_end.setblocking(False)
        with child_end:
            self._process = await asyncio.create_subprocess_exec(
                *server_command(os.getpid()),
                stdin=child_end.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                cwd="/",
                env=SERVER_ENVIRONMENT,
                start_new_session=True,
            )
        self._control = parent_end
        try:
            async with asyncio.timeout(STARTUP_TIMEOUT_S):
                await _receive_exit_report(parent_end)
        except (_ServerLost, OSError, TimeoutError):
            self.kill()
            raise Unavailable("The process that reads files can't be started; see the log.") from None
        except BaseException:
            self.kill()
            raise
        return parent_end

    def kill_when_idle(self) -> None:
        """Kill the fork server in IDLE_S, unless it is kept before."""
        self._idle = asyncio.get_running_loop().call_later(IDLE_S, self.kill)

    def keep(self) -> None:
        """Don't kill it: a file is to be read."""
        if self._idle is not None:
            self._idle.cancel()

    def kill(self) -> None:
        """Kill the fork server and its child at once; the event loop reaps them."""
        process, control, self._process, self._control = self._process, self._control, None, None
        if control is not None:
            control.close()
        if process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            waiter = asyncio.ensure_future(process.wait())
            self._terminating.add(waiter)
            waiter.add_done_callback(self._terminating.discard)

    async def wait_until_dead(self) -> None:
        """Wait until all killed processes are gone."""
        await asyncio.gather(*self._terminating)


class _TooLarge(Exception):
    """The result exceeds its limit."""


def _open_regular_file(path: Path) -> BinaryIO:
    """Open the file. Raises Unreadable if it is not a regular file: a pipe would never end."""
    try:
        file = open(  # noqa: SIM115 - the caller closes it
            path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)
        )
    except IsADirectoryError:
        raise _not_a_file() from None
    except OSError:
        raise Unreadable("damaged", "The file no longer exists; upload it again.") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise _not_a_file()
    return file


async def _send_request(
    control: socket.socket, file: int, request: ReadRequest
) -> tuple[bytearray, tuple[int, int, float]]:
    """Send the request with the file and a pipe; return what came through the pipe, and the child's exit report."""
    parent_end, child_end = os.pipe()
    try:
        packed = msgspec.msgpack.encode(request)
        socket.send_fds(control, [LENGTH_PREFIX.pack(len(packed)) + packed], [file, child_end])
    except BaseException:
        os.close(parent_end)
        raise
    finally:
        os.close(child_end)
    received = await _read_up_to(parent_end, request.answer_bytes)
    return received, await _receive_exit_report(control)


async def _read_up_to(pipe: int, max_bytes: int) -> bytearray:
    """Read a pipe to its end and close it. Raises _TooLarge."""
    stream = asyncio.StreamReader(limit=READ_BYTES)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(pipe, "rb"))
    received = bytearray()
    try:
        while piece := await stream.read(READ_BYTES):
            received += piece
            if len(received) > max_bytes:
                raise _TooLarge
        return received
    finally:
        transport.close()


async def _receive_exit_report(control: socket.socket) -> tuple[int, int, float]:
    packed = b""
    while len(packed) < EXIT_REPORT.size:
        piece = await asyncio.get_running_loop().sock_recv(control, EXIT_REPORT.size - len(packed))
        if not piece:
            raise _ServerLost
        packed += piece
    return EXIT_REPORT.unpack(packed)


def _parse_outcome(packed: bytearray, status: int, memory: int, cpu_s: float, limits: ReadLimits) -> ReadDocument:
    """The document in a result. Raises Unreadable for a failure, and for a child that died."""
    if status:
        raise _exit_error(status, memory, cpu_s, limits)
    try:
        answer = _decoder.decode(packed)
    except (msgspec.MsgspecError, ValueError):  # it was compromised, or wrote half a result
        raise _damaged() from None
    if isinstance(answer, ReadFailure):
        message = " ".join(answer.message.split())[:MAX_MESSAGE_CHARACTERS]
        raise Unreadable(answer.code, message) if answer.code in KNOWN_CODES else _damaged()
    return answer


_decoder = msgspec.msgpack.Decoder(ReadOutcome)


def _exit_error(status: int, memory: int, cpu_s: float, limits: ReadLimits) -> Unreadable:
    """Infer which limit ended the child: the kernel kills it for CPU time; libraries abort or crash when out of memory."""
    term_signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if term_signal == signal.SIGXCPU or (term_signal == signal.SIGKILL and cpu_s >= limits.cpu_s - 1):
        return _took_too_long()
    aborted = term_signal in (signal.SIGKILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGILL)
    if aborted or memory > limits.megabytes * 1024 * 1024 * 0.6:
        return Unreadable(OUT_OF_MEMORY.code, OUT_OF_MEMORY.message)
    return _damaged()


def _not_a_file() -> Unreadable:
    return Unreadable("unsupported", "This is not a regular file; upload a file.")


def _took_too_long() -> Unreadable:
    return Unreadable("took_too_long", "Reading the file took too long; split it up.")


def _damaged() -> Unreadable:
    return Unreadable("damaged", "The file is damaged and crashed its reader; save it again and upload that.")
