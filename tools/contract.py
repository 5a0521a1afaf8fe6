"""The contract between headrace and a tool: what it tells the model, what it is given, what it gives back.

A tool is one async function and a `ToolSpec`. What it needs from above (vectors, memory, documents, the caller's token)
is passed in with `ToolContext`: a tool reads no environment and opens no database of ours.

Not for: how a call is checked and limited (`calling.py`), or which tools there are (`registry.py`).
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import httpx2

from tools.data_source import DataSource

TOOL_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,63}")
"""What every vendor of models takes as the name of a function."""

MAX_BYTES = 100 * 1024
"""What a tool may hand to a model, unless its spec says otherwise (T5)."""


@dataclass(frozen=True, kw_only=True)
class ToolSpec:
    """What the model is told of a tool, and what holds it in bounds.

    `parameters` is a JSON Schema of type object. `side_effects`: it changes something outside, so it is not run twice for
    one call. `untrusted`: what it returns comes from outside and is data, never instructions (G13). `rights` are what the
    caller must have beyond the use of the agent, such as "admin". `finds_passages`: its `data` is {"passages": […]} of the
    caller's documents, which an answer may cite. Raises ValueError for a name that no vendor takes.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    side_effects: bool = False
    untrusted: bool = False
    timeout_s: float = 15.0
    max_bytes: int = MAX_BYTES
    rights: frozenset[str] = frozenset()
    finds_passages: bool = False

    def __post_init__(self) -> None:
        if not TOOL_NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name for a tool; right is a letter, then up to 63 of a-z 0-9 _ -.")


@dataclass(frozen=True)
class ToolResult:
    """What a tool found: `text` for the model, `data` (whatever JSON can hold) for programs and the page, `renderer` a
    hint how to show it (`table`, `chart`, …). `truncated`: there was more."""

    text: str
    data: Any = None
    renderer: str | None = None
    truncated: bool = False


@dataclass(frozen=True)
class Passage:
    """A piece of a document that fits a query, with what a citation needs. `score`: higher is nearer."""

    text: str
    document_id: str
    document: str
    page: int | None = None
    heading: str | None = None
    score: float = 0.0
    chunk_id: str = ""


@dataclass(frozen=True)
class Memory:
    """Something that was remembered about the user."""

    id: str
    text: str


class MemoryStore(Protocol):
    """What is remembered about the caller; it belongs to one user of one tenant."""

    async def remember(self, text: str) -> str:
        """Keep the text; return its id."""
        ...

    async def recall(self, query: str, k: int) -> Sequence[Memory]:
        """Return up to `k` memories, nearest first."""
        ...

    async def forget(self, id: str) -> bool:
        """Drop one; whether it was there."""
        ...


class DocumentSearch(Protocol):
    """Search in the documents that the caller may read."""

    async def search(self, query: str, *, collection: str | None, k: int) -> Sequence[Passage]:
        """Return up to `k` passages, best first. Raises NotFound for a collection that isn't the caller's."""
        ...


async def no_token() -> str | None:
    """Stands where the caller has no token that could be passed on."""
    return None


def ignore_progress(text: str) -> None:
    """Stands where nobody listens to progress."""


@dataclass(frozen=True, kw_only=True)
class ToolContext:
    """What a call is given. `fetch` comes from `tools.egress.open_client`; `settings` holds keys by name
    (TAVILY_API_KEY); what is None is not set up here, and a tool that needs it says so."""

    tenant_id: str
    user_id: str
    job_id: str
    call_id: str
    fetch: httpx2.AsyncClient
    language: str = "en"
    rights: frozenset[str] = frozenset()
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    caller_token: Callable[[], Awaitable[str | None]] = no_token
    embed: Callable[[Sequence[str]], Awaitable[list[list[float]]]] | None = None
    memory: MemoryStore | None = None
    documents: DocumentSearch | None = None
    open_database: Callable[[str], Awaitable[DataSource]] | None = None
    """By the name of a data source. Raises NotFound."""
    files: Callable[[str], Awaitable[bytes]] | None = None
    """The bytes of an uploaded file, by its id. Raises NotFound."""
    progress: Callable[[str], None] = ignore_progress
    """A few words for whoever watches the job."""


@runtime_checkable
class Tool(Protocol):
    """Something an agent may do."""

    @property
    def spec(self) -> ToolSpec: ...

    async def run(self, arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        """Do it. The arguments fit `spec.parameters`. Raises ToolFailed; `calling.py` turns anything else into one."""
        ...


@dataclass(frozen=True)
class FunctionTool:
    """The usual tool: a spec, and the function that does it."""

    spec: ToolSpec
    function: Callable[[dict[str, Any], ToolContext], Awaitable[ToolResult]]

    async def run(self, arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        return await self.function(arguments, context)
