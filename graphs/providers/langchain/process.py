"""The process in which a worker's LangChain models run: started by the first call, shared by all, started again if it ends.

LangChain's packages hold the interpreter for seconds when they are imported, keep threads and connections, and some classes
block: none of that reaches the worker's event loop. It inherits no environment but what finds proxies and certificates, so
that nothing is traced or called by what happens to be set.
"""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import structlog

from graphs.providers.errors import ProviderUnreachable
from graphs.providers.langchain.frames import LENGTH, Call, Cancel, Failed, Reply, decode_numbered, decode_reply, frame
from tools.run_sandboxed import ROOT

PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from graphs.providers.langchain.child.main import main; main()"
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Child:
    """A process that runs, and what its calls wait for. None in a queue means that it has ended."""

    process: asyncio.subprocess.Process
    scratch: Path
    replies: dict[int, asyncio.Queue[Reply | None]] = field(default_factory=dict)
    reading: asyncio.Task[None] | None = None

    @property
    def runs(self) -> bool:
        return self.reading is not None and not self.reading.done()

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError, ConnectionResetError):
            self.process.stdin.write(data)


class ModelProcess:
    """The process, if there is one. One event loop's. `env` is what of the environment it inherits (`listing.inherited`)."""

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        self._env = dict(env or {})
        self._child: _Child | None = None
        self._lock = asyncio.Lock()
        self._last_id = 0

    async def call(self, call: Call) -> AsyncGenerator[Reply, None]:
        """Yield the replies to a call, whose number is given here, until the caller leaves; that cancels the call. Raises
        ProviderUnreachable if the process ends. What a slow caller doesn't take is kept in memory."""
        child = await self._running()
        self._last_id += 1
        id, replies = self._last_id, asyncio.Queue[Reply | None]()
        child.replies[id] = replies
        try:
            child.send(frame(msgspec.structs.replace(call, id=id)))
            while (reply := await replies.get()) is not None:
                yield reply
            raise ProviderUnreachable("The process of LangChain's models ended; it is started again by the next call.")
        finally:
            if child.replies.pop(id, None) is not None and child.runs:
                child.send(frame(Cancel(id)))

    async def close(self) -> None:
        """End the process."""
        child, self._child = self._child, None
        if child is not None:
            _kill(child)
            if child.reading is not None:
                await child.reading

    async def _running(self) -> _Child:
        async with self._lock:
            if self._child is None or not self._child.runs:
                self._child = await self._start()
            return self._child

    async def _start(self) -> _Child:
        scratch = Path(tempfile.mkdtemp(prefix="headrace-langchain-"))
        own = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(scratch), "TMPDIR": str(scratch)}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-c", PROGRAM, str(ROOT)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=scratch,
            env=own | self._env,
            start_new_session=True,
        )
        child = _Child(process, scratch)
        child.reading = asyncio.create_task(_read(child))
        return child


async def _read(child: _Child) -> None:
    """Pass replies on to those who wait, until the process ends."""
    source = child.process.stdout
    assert source is not None
    try:
        while True:
            size = LENGTH.unpack(await source.readexactly(LENGTH.size))[0]
            reply = _reply(await source.readexactly(size))
            if (waiting := child.replies.get(reply.id)) is not None:
                waiting.put_nowait(reply)
    except (asyncio.IncompleteReadError, msgspec.DecodeError):
        _kill(child)
    status = await child.process.wait()
    log.info("langchain_models_ended", status=status)
    for waiting in child.replies.values():
        waiting.put_nowait(None)
    shutil.rmtree(child.scratch, ignore_errors=True)


def _reply(data: bytes) -> Reply:
    """Return a reply; for one with a field of a wrong type, which a class gave, the failure of its call. Raises DecodeError."""
    try:
        return decode_reply(data)
    except msgspec.ValidationError as error:
        return Failed(decode_numbered(data).id, "call", ["ValidationError"], message=str(error))


def _kill(child: _Child) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, signal.SIGKILL)
