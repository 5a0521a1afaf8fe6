"""What tests give to a tool: a context with just what a test names, and a client of the egress guard for this machine."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import httpx2

from schema.errors import NotFound
from schema.vault import PLATFORM
from tools.contract import Tool, ToolContext, ToolResult
from tools.egress import EgressPolicy, open_client
from tools.errors import ToolFailed
from tools.execution import call_tool


def make_context(fetch: httpx2.AsyncClient | None = None, **given: Any) -> ToolContext:
    """A context of nobody in particular. Without `fetch` whatever goes out is refused."""
    ids = {"tenant_id": str(PLATFORM), "user_id": "u", "job_id": "j", "call_id": "c"}
    return ToolContext(**ids, fetch=fetch or unreachable_client(), **given)


@cache
def unreachable_client() -> httpx2.AsyncClient:
    """A client that may reach nothing, so it never holds a connection."""
    return open_client(EgressPolicy(ports=frozenset()))


@asynccontextmanager
async def web_context(**given: Any) -> AsyncIterator[ToolContext]:
    """A context that may reach this machine and nothing else."""
    async with open_client(EgressPolicy(allowed_hosts=frozenset({"127.0.0.1"}))) as fetch:
        yield make_context(fetch, **given)


def file_store(**contents: bytes) -> Callable[[str], Awaitable[bytes]]:
    """Uploaded files by their id."""

    async def read(file_id: str) -> bytes:
        if file_id not in contents:
            raise NotFound("There is no such file.")
        return contents[file_id]

    return read


async def call(tool: Tool, context: ToolContext | None = None, **arguments: Any) -> ToolResult:
    """One call as the graphs make it."""
    return await call_tool(tool, arguments, context or make_context())


async def failure(tool: Tool, context: ToolContext | None = None, **arguments: Any) -> ToolFailed:
    """The error that a call ends with; fails the test when there is none."""
    try:
        result = await call(tool, context, **arguments)
    except ToolFailed as error:
        return error
    raise AssertionError(f"It went well: {result.text[:500]}")
