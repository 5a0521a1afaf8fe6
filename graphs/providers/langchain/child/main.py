"""Runs LangChain's models for one worker, until that closes standard input. Libraries may print; only frames reach the real
standard output. What a class does without asyncio runs in threads, as LangChain has it.
"""

import asyncio
import os
import sys
import threading
import warnings
from contextlib import aclosing
from typing import Any, BinaryIO, cast

from graphs.providers.langchain.child.chunks import Chunks
from graphs.providers.langchain.child.failures import Where, failed
from graphs.providers.langchain.child.models import (
    Models,
    OptionRefused,
    ToolsRefused,
    VectorsRefused,
    answer,
    describe,
    embed,
    says_why,
)
from graphs.providers.langchain.frames import LENGTH, Asked, Began, Call, Reply, Vectors, decode_asked, frame

ENDED_BY_LENGTH = {"LengthFinishReasonError": "length", "ContentFilterFinishReasonError": "content_filter"}
"""What OpenAI's package raises for ends of an answer that has a format."""


class Server:
    """The calls that are running."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._models = Models()
        self._running: dict[int, asyncio.Task[None]] = {}

    def take(self, asked: Asked) -> None:
        """Begin a call, or end one."""
        if isinstance(asked, Call):
            task = asyncio.get_running_loop().create_task(self._run(asked))
            self._running[asked.id] = task
            task.add_done_callback(lambda _: self._running.pop(asked.id, None))
        elif (running := self._running.get(asked.id)) is not None:
            running.cancel()

    def _say(self, reply: Reply) -> None:
        self._out.write(frame(reply))
        self._out.flush()

    async def _run(self, call: Call) -> None:
        where: Where = "build"
        try:
            model = await self._models.get(call.made)
            where = "call"
            if call.do == "describe":
                return self._say(describe(call.id, model))
            self._say(Began(call.id, says_why(model)))
            if call.do == "embed":
                return self._say(Vectors(call.id, await embed(call, model)))
            await self._stream(call, model)
        except ToolsRefused as error:
            self._say(failed(call.id, "tools", error))
        except OptionRefused as error:
            self._say(failed(call.id, "options", error))
        except VectorsRefused as error:
            self._say(failed(call.id, "vectors", error))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the edge of this process; libraries raise anything
            self._say(failed(call.id, where, error))

    async def _stream(self, call: Call, model: Any) -> None:
        chunks, reason = Chunks(call.id, call.name), ""
        try:
            async with aclosing(cast(Any, answer(call, model))) as stream:
                async for chunk in stream:
                    self._say(chunks.take(chunk))
        except Exception as error:
            reason = ENDED_BY_LENGTH.get(type(error).__name__, "")
            if not reason:
                raise
        self._say(chunks.last(reason))


def main() -> None:
    """Serve the frames of standard input."""
    warnings.simplefilter("ignore")
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    asyncio.run(_serve(out))


async def _serve(out: BinaryIO) -> None:
    server, loop = Server(out), asyncio.get_running_loop()
    threading.Thread(target=_read, args=(server, loop), daemon=True).start()
    await loop.create_future()


def _read(server: Server, loop: asyncio.AbstractEventLoop) -> None:
    """Pass frames to the loop. At their end this process ends at once, whatever its libraries are doing."""
    source = sys.stdin.buffer
    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        asked = decode_asked(source.read(LENGTH.unpack(head)[0]))
        loop.call_soon_threadsafe(server.take, asked)
    os._exit(0)


if __name__ == "__main__":
    main()
