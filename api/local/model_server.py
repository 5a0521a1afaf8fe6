"""A language model from a file, beside the stack: `./headrace up --model local:PATH` starts llama.cpp's server for it.

The server is not headrace's: it is `llama-server` of the PATH, or what HEADRACE_LLAMA_SERVER names.
"""

import asyncio
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from api.local.errors import LocalError
from api.local.home import free_port
from api.local.stack import http_status
from api.local.supervisor import ProcfileEntry, Supervisor

NAME = "model"
SETTING = "HEADRACE_LLAMA_SERVER"
PROGRAMS = ("llama-server", "llama-server-vulkan")
MAGIC = b"GGUF"
PREFIX = "local:"
LOAD_LIMIT_S = 300.0
SLOTS, SLOT_TOKENS = 2, 8192
"""Conversations that the server answers at once, and how much each may read and write."""


@dataclass(frozen=True)
class ModelServer:
    """A llama-server for one file, and where it will listen."""

    program: Path
    file: Path
    port: int

    @property
    def model(self) -> str:
        """The model's name, after the file's."""
        return self.file.stem.lower().replace(" ", "-")

    @property
    def process(self) -> ProcfileEntry:
        """How the supervisor starts it. `--jinja`: without it the server knows no tools."""
        command = (str(self.program), "-m", str(self.file), "--alias", self.model, "--jinja")
        where = ("--host", "127.0.0.1", "--port", str(self.port), "-np", str(SLOTS), "-c", str(SLOTS * SLOT_TOKENS))
        return ProcfileEntry(NAME, (*command, *where), serves_jobs=True)

    @property
    def settings(self) -> dict[str, str]:
        """What the stack's processes are told."""
        return {
            "LLAMACPP_BASE_URL": f"http://127.0.0.1:{self.port}/v1",
            "HEADRACE_DEFAULT_MODEL": f"llamacpp/{self.model}",
        }


def find_model_server(choice: str, environ: Mapping[str, str]) -> ModelServer:
    """Return the server for `local:PATH`. Raises LocalError that says what is missing, and where to get it."""
    file = Path(choice.removeprefix(PREFIX)).expanduser().resolve()
    try:
        with file.open("rb") as opened:
            head = opened.read(len(MAGIC))
    except OSError as error:
        raise LocalError(f"Can't read the model {file}: {error.strerror}.") from error
    if head != MAGIC:
        raise LocalError(f"{file} is no model that llama.cpp can load: it must be a GGUF file.")
    return ModelServer(_program(environ), file, free_port())


def _program(environ: Mapping[str, str]) -> Path:
    if named := environ.get(SETTING, "").strip():
        if (found := shutil.which(named)) is None:
            raise LocalError(f"{SETTING} is {named!r}, which is no program that can be run.")
        return Path(found)
    for name in PROGRAMS:
        if found := shutil.which(name):
            return Path(found)
    raise LocalError(
        "A model from a file needs llama.cpp's server, and no llama-server is in your PATH. Install llama.cpp "
        f"(https://github.com/ggml-org/llama.cpp/releases), or set {SETTING} to the program."
    )


async def wait_until_loaded(server: ModelServer, supervisor: Supervisor, stop: asyncio.Event) -> None:
    """Return when the model answers, or `stop` is set. Raises LocalError if its server keeps exiting, or takes too long."""
    deadline = time.monotonic() + LOAD_LIMIT_S
    while not stop.is_set() and await asyncio.to_thread(http_status, "127.0.0.1", server.port, "/health") != 200:
        if (said := supervisor.crash_looping.get(NAME)) is not None:
            raise LocalError(f"{server.program} keeps exiting as soon as it starts. Its last output:\n{said}")
        if time.monotonic() > deadline:
            raise LocalError(
                f"{server.program} has not loaded {server.file} after {LOAD_LIMIT_S:.0f} s; see its log above."
            )
        await asyncio.sleep(0.1)
