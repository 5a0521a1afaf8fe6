"""The contract of a tool: what the model is told, what a call is given, and what it returns.

A tool is one async function and a `ToolSpec`. What it needs from the layers above (embeddings, memory, documents, tokens) is
passed in as `ToolContext`: a tool reads no environment variables and never opens headrace's own database.

Not for: how a call is validated and limited (`execution.py`), or which tools exist (`registry.py`).
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import httpx2

from tools.data_source import DataSource
from tools.egress.policy import EgressPolicy

TOOL_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,63}")
"""Function names that every model vendor accepts."""

MAX_BYTES = 100 * 1024
"""The default limit for what a tool returns to the model."""


@dataclass(frozen=True, kw_only=True)
class ToolSpec:
    """What the model is told about a tool, and the tool's limits.

    `parameters` is a JSON Schema of type object. `side_effects`: it changes something outside, so one call never runs twice.
    `untrusted`: its output comes from outside and is data, never instructions. `rights`: what the caller needs beyond access
    to the agent, such as "admin". `finds_passages`: its `data` is {"passages": […]} from the caller's documents, which an
    answer may cite. `kind` is what metrics call a tool that is not in our code. Raises ValueError for a name that some vendor
    rejects.
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
    kind: str = ""

    def __post_init__(self) -> None:
        if not TOOL_NAME.fullmatch(self.name):
            raise ValueError(
                f"{self.name!r} is not a valid tool name; it must be a letter, then up to 63 letters, digits, _ or -."
            )


@dataclass(frozen=True)
class ToolResult:
    """The result of a call: `text` for the model, `data` (any JSON) for programs, `renderer` a display hint (`table`, `chart`,
    …). `truncated`: there was more."""

    text: str
    data: Any = None
    renderer: str | None = None
    truncated: bool = False


@dataclass(frozen=True)
class Passage:
    """A part of a document that matches a query, with what a citation needs. A higher `score` is a better match."""

    text: str
    document_id: str
    document: str
    page: int | None = None
    heading: str | None = None
    score: float = 0.0
    chunk_id: str = ""
    near_miss: bool = False
    """Whether it is only the nearest, since nothing in the documents answers the query."""


@dataclass(frozen=True)
class Memory:
    """A remembered fact about the user."""

    id: str
    text: str


class MemoryStore(Protocol):
    """The memories about the caller: one user of one tenant."""

    async def remember(self, text: str) -> str:
        """Store the text; return its id."""
        ...

    async def recall(self, query: str, k: int) -> Sequence[Memory]:
        """Return up to `k` memories, nearest first."""
        ...

    async def forget(self, id: str) -> bool:
        """Delete a memory; return whether it existed."""
        ...


class DocumentSearch(Protocol):
    """Searches the documents that the caller may read."""

    async def search(self, query: str, *, collection: str | None, k: int) -> Sequence[Passage]:
        """Return up to `k` passages, best first; the nearest ones as near misses if none answers. Raises NotFound for a
        collection that isn't the caller's."""
        ...


async def no_job_token(audience: str) -> str | None:
    """The default: the job works for nobody."""
    return None


async def no_provider_token() -> str | None:
    """The default: the caller has no token of an identity provider."""
    return None


async def public_only() -> EgressPolicy:
    """The default: the public internet, over https."""
    return EgressPolicy()


def ignore_progress(text: str) -> None:
    """The default: nobody listens to progress."""


@dataclass(frozen=True, kw_only=True)
class ToolContext:
    """What a call is given. `fetch` comes from `tools.egress.open_client`; `settings` holds API keys by name (TAVILY_API_KEY).
    A dependency that is None is not set up in this deployment, and a tool that needs it says so."""

    tenant_id: str
    user_id: str
    job_id: str
    call_id: str
    fetch: httpx2.AsyncClient
    language: str = "en"
    rights: frozenset[str] = frozenset()
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    job_token: Callable[[str], Awaitable[str | None]] = no_job_token
    """Returns a token for the service at this URL, which says for whom the job works and is accepted nowhere else."""
    provider_token: Callable[[], Awaitable[str | None]] = no_provider_token
    """Returns the caller's own token if the tenant's identity provider issued it."""
    egress: Callable[[], Awaitable[EgressPolicy]] = public_only
    """Returns what the call may reach, for tools that can't use `fetch`."""
    embed: Callable[[Sequence[str]], Awaitable[list[list[float]]]] | None = None
    memory: MemoryStore | None = None
    documents: DocumentSearch | None = None
    open_database: Callable[[str], Awaitable[DataSource]] | None = None
    """Looks up a data source by name. Raises NotFound."""
    files: Callable[[str], Awaitable[bytes]] | None = None
    """Returns the bytes of an uploaded file by its id. Raises NotFound."""
    progress: Callable[[str], None] = ignore_progress
    """Reports progress, in a few words, to whoever follows the job."""


@runtime_checkable
class Tool(Protocol):
    """Something an agent may do."""

    @property
    def spec(self) -> ToolSpec: ...

    async def run(self, arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        """Run the tool. The arguments fit `spec.parameters`. Raises ToolFailed; `execution.py` converts anything else."""
        ...


@dataclass(frozen=True)
class FunctionTool:
    """The usual tool: a spec and a function."""

    spec: ToolSpec
    function: Callable[[dict[str, Any], ToolContext], Awaitable[ToolResult]]

    async def run(self, arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        return await self.function(arguments, context)
