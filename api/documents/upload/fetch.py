"""Files from addresses: fetched by this process through the egress guard, each hop of a redirect too, straight to disk."""

import asyncio
from urllib.parse import unquote

import httpx2
from multipart import parse_options_header

from api.documents.upload.batch import TOO_LARGE, Batch, ReceivedFile, Refusal
from api.documents.upload.multipart_parts import EXTENDED_NAME
from schema.errors import EgressFailed, EgressTooLarge
from tools.egress import EgressPolicy, open_client

AT_ONCE = 4
FETCH_S = 120.0
REDIRECTS = 5


async def fetch_files(urls: tuple[str, ...], batch: Batch, policy: EgressPolicy) -> None:
    """Fetch all of them into the batch, in order; what can't be fetched is refused. Raises StorageFull, HTTPException (413)
    and InputError for all together."""
    if not urls:
        return
    turns = asyncio.Semaphore(AT_ONCE)
    async with open_client(policy, max_bytes=batch.limits.max_file, timeout_s=FETCH_S) as client:
        client.max_redirects = REDIRECTS
        try:
            async with asyncio.TaskGroup() as tasks:
                under_way = [tasks.create_task(_fetch(client, url, batch, turns)) for url in urls]
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
    for task in under_way:
        found = task.result()
        if isinstance(found, Refusal):
            batch.refused.append(found)
        else:
            batch.received.append(found)


async def _fetch(
    client: httpx2.AsyncClient, url: str, batch: Batch, turns: asyncio.Semaphore
) -> ReceivedFile | Refusal:
    async with turns:
        try:
            return await _download(client, url, batch)
        except EgressTooLarge as error:
            return Refusal(_shown(url), TOO_LARGE, error.message)
        except EgressFailed as error:
            return Refusal(_shown(url), error.code, error.message)


async def _download(client: httpx2.AsyncClient, url: str, batch: Batch) -> ReceivedFile:
    sink = batch.begin()
    try:
        async with client.stream("GET", url, follow_redirects=True) as answer:
            if not answer.is_success:
                host = answer.url.raw_host.decode("ascii")
                raise EgressFailed(f"{host} answered with status {answer.status_code}.")
            async for piece in answer.aiter_bytes():
                batch.count(len(piece))
                batch.hold(len(piece))
                await sink.write(piece)
            await sink.close()
            return ReceivedFile(_name_of(answer), sink.path, sink.size, sink.sha256, source_url=url)
    except EgressFailed:
        batch.hold(-sink.size)
        raise
    finally:
        sink.abandon()


def _name_of(answer: httpx2.Response) -> str:
    """What the file is called: as its server says, else the end of its address."""
    disposition = answer.headers.get("content-disposition", "")[:2000]
    extended = EXTENDED_NAME.search(f";{disposition}")
    said = unquote(extended[1], errors="replace") if extended else parse_options_header(disposition)[1].get("filename")
    last = unquote(answer.url.path, errors="replace").rstrip("/").rpartition("/")[2]
    return (said or last or answer.url.host)[:1000]


def _shown(url: str) -> str:
    """The address without its query, which may hold a key."""
    return url.partition("?")[0][:300]
