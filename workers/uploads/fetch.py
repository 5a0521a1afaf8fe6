"""Fetches files from URLs, straight to disk, through the egress guard, which also checks each redirect."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

import httpx2
from multipart import parse_options_header

from schema.errors import EgressFailed, EgressTooLarge
from tools.egress import EgressPolicy, open_client
from workers.uploads.batch import TOO_LARGE, Batch, ReceivedFile, Refusal

MAX_CONCURRENT = 4
FETCH_TIMEOUT_S = 120.0
MAX_REDIRECTS = 5
NOT_MODIFIED = 304
EXTENDED_NAME = re.compile(r";\s*filename\*\s*=\s*utf-8'[^']*'([^;\s\"]+)", re.IGNORECASE)
ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,200}"')


async def fetch_files(
    urls: Sequence[str], batch: Batch, policy: EgressPolicy, *, etags: Mapping[str, str] | None = None
) -> list[str]:
    """Fetch all URLs into the batch, in order; those that can't be fetched are refused. Return those of which the server says
    that they have what their `etags` name still. Raises StorageFull, UploadTooLarge and InputError for the whole."""
    if not urls:
        return []
    known = etags or {}
    semaphore = asyncio.Semaphore(MAX_CONCURRENT)
    async with open_client(policy, max_bytes=batch.limits.max_file, timeout_s=FETCH_TIMEOUT_S) as client:
        client.max_redirects = MAX_REDIRECTS
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks_by_url = [
                    tasks.create_task(_fetch(client, url, batch, semaphore, known.get(url))) for url in urls
                ]
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
    unchanged: list[str] = []
    for url, task in zip(urls, tasks_by_url, strict=True):
        outcome = task.result()
        if isinstance(outcome, Refusal):
            batch.refused.append(outcome)
        elif outcome is None:
            unchanged.append(url)
        else:
            batch.received.append(outcome)
    return unchanged


async def _fetch(
    client: httpx2.AsyncClient, url: str, batch: Batch, semaphore: asyncio.Semaphore, etag: str | None
) -> ReceivedFile | Refusal | None:
    async with semaphore:
        try:
            return await _download(client, url, batch, etag)
        except EgressTooLarge as error:
            return Refusal(_without_query(url), TOO_LARGE, error.message)
        except EgressFailed as error:
            return Refusal(_without_query(url), error.code, error.message)


async def _download(client: httpx2.AsyncClient, url: str, batch: Batch, etag: str | None) -> ReceivedFile | None:
    sink = batch.open_sink()
    headers = {"if-none-match": etag} if etag else {}
    try:
        async with client.stream("GET", url, headers=headers, follow_redirects=True) as response:
            if etag and response.status_code == NOT_MODIFIED:
                return None
            if not response.is_success:
                host = response.url.raw_host.decode("ascii")
                raise EgressFailed(f"{host} answered with status {response.status_code}.")
            async for chunk in response.aiter_bytes():
                batch.count_received(len(chunk))
                batch.count_stored(len(chunk))
                await sink.write(chunk)
            await sink.close()
            name, source = _file_name(response), (url, _etag(response))
            return ReceivedFile(name, sink.path, sink.size, sink.sha256, *source)
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


def _etag(response: httpx2.Response) -> str | None:
    """Return what the server calls this content, if it can be sent back as it is."""
    etag = response.headers.get("etag", "").strip()
    return etag if ETAG.fullmatch(etag) else None


def _without_query(url: str) -> str:
    """Return a URL without its query, which may contain a key."""
    return url.partition("?")[0][:300]
