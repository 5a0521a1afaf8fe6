"""Fetches files from URLs, straight to disk, through the egress guard, which also checks each redirect."""

import asyncio
from urllib.parse import unquote

import httpx2
from multipart import parse_options_header

from api.documents.upload.batch import TOO_LARGE, Batch, ReceivedFile, Refusal
from api.documents.upload.multipart_parts import EXTENDED_NAME
from schema.errors import EgressFailed, EgressTooLarge
from tools.egress import EgressPolicy, open_client

MAX_CONCURRENT = 4
FETCH_TIMEOUT_S = 120.0
MAX_REDIRECTS = 5


async def fetch_files(urls: tuple[str, ...], batch: Batch, policy: EgressPolicy) -> None:
    """Fetch all URLs into the batch, in order; those that can't be fetched are refused. Raises StorageFull, HTTPException
    (413) and InputError for the upload as a whole."""
    if not urls:
        return
    semaphore = asyncio.Semaphore(MAX_CONCURRENT)
    async with open_client(policy, max_bytes=batch.limits.max_file, timeout_s=FETCH_TIMEOUT_S) as client:
        client.max_redirects = MAX_REDIRECTS
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks_by_url = [tasks.create_task(_fetch(client, url, batch, semaphore)) for url in urls]
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
    for task in tasks_by_url:
        outcome = task.result()
        if isinstance(outcome, Refusal):
            batch.refused.append(outcome)
        else:
            batch.received.append(outcome)


async def _fetch(
    client: httpx2.AsyncClient, url: str, batch: Batch, semaphore: asyncio.Semaphore
) -> ReceivedFile | Refusal:
    async with semaphore:
        try:
            return await _download(client, url, batch)
        except EgressTooLarge as error:
            return Refusal(_without_query(url), TOO_LARGE, error.message)
        except EgressFailed as error:
            return Refusal(_without_query(url), error.code, error.message)


async def _download(client: httpx2.AsyncClient, url: str, batch: Batch) -> ReceivedFile:
    sink = batch.open_sink()
    try:
        async with client.stream("GET", url, follow_redirects=True) as response:
            if not response.is_success:
                host = response.url.raw_host.decode("ascii")
                raise EgressFailed(f"{host} answered with status {response.status_code}.")
            async for chunk in response.aiter_bytes():
                batch.count_received(len(chunk))
                batch.count_stored(len(chunk))
                await sink.write(chunk)
            await sink.close()
            return ReceivedFile(_file_name(response), sink.path, sink.size, sink.sha256, source_url=url)
    except EgressFailed:
        batch.count_stored(-sink.size)
        raise
    finally:
        sink.close_unfinished()


def _file_name(response: httpx2.Response) -> str:
    """Return the file's name: from Content-Disposition, or else the end of the URL."""
    disposition = response.headers.get("content-disposition", "")[:2000]
    extended = EXTENDED_NAME.search(f";{disposition}")
    message = (
        unquote(extended[1], errors="replace") if extended else parse_options_header(disposition)[1].get("filename")
    )
    path_end = unquote(response.url.path, errors="replace").rstrip("/").rpartition("/")[2]
    return (message or path_end or response.url.host)[:1000]


def _without_query(url: str) -> str:
    """Return a URL without its query, which may contain a key."""
    return url.partition("?")[0][:300]
