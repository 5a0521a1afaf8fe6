"""`ingest`: uploads files or a folder and shows the progress until they are searchable, in the running stack or at
HEADRACE_URL."""

import argparse
import asyncio
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from api.cli.arguments import path_here
from api.cli.client.chat import dim, own_authority, server_and_key
from api.cli.plural import pluralize
from api.local.errors import LocalError
from api.local.http_client import Client

MAX_FILES_PER_UPLOAD = 40
MAX_BYTES_PER_UPLOAD = 64 * 1024 * 1024
"""Limits of one request. Each request is a job, so several workers can ingest in parallel."""
MAX_SHOWN = 20
BAR_WIDTH = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", type=path_here, metavar="FOLDER", help="a folder or files to upload")
    parser.add_argument(
        "--collection",
        default="default",
        help="the collection to add them to (default: default); created if it does not exist",
    )
    parser.add_argument(
        "--private", action="store_true", help="visible only to you; by default, to everyone in your tenant"
    )


def run(arguments: argparse.Namespace) -> int:
    files = list(find_files(arguments.paths))
    if not files:
        searched = ", ".join(map(str, arguments.paths))
        raise LocalError(f"No files to ingest in {searched}. Hidden files and symbolic links are skipped.")
    url, key = server_and_key()
    fields = {"collection": arguments.collection, **({"private": "true"} if arguments.private else {})}
    return asyncio.run(ingest(url, key, files, fields))


def find_files(paths: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Yield the files with the names that they get: those of a folder with their path below it. Raises LocalError for a path
    where nothing is."""
    for path in paths:
        if path.is_file():
            yield path.name, path
        elif path.is_dir():
            found = sorted(one for one in path.rglob("*") if one.is_file() and not one.is_symlink())
            shown = (one for one in found if not any(part.startswith(".") for part in one.relative_to(path).parts))
            yield from ((one.relative_to(path).as_posix(), one) for one in shown)
        else:
            raise LocalError(f"{path} does not exist.")


async def ingest(url: str, key: str, files: Sequence[tuple[str, Path]], fields: dict[str, str]) -> int:
    """Upload the files in batches, following each batch's job while the next is sent. Raises LocalError."""
    progress = Progress(len(files))
    try:
        async with Client(url, key, ca_file=own_authority()) as client, asyncio.TaskGroup() as group:
            for batch in batch_files(files):
                progress.show(f"sending {batch[0][0]}")
                answer = await client.upload(batch, fields)
                progress.take(answer)
                if answer.get("job_id"):
                    group.create_task(progress.follow(client, answer["job_id"]))
    except ExceptionGroup as errors:
        if isinstance(first := errors.exceptions[0], LocalError):
            raise first from None
        raise
    return progress.print_summary(fields["collection"])


def batch_files(files: Sequence[tuple[str, Path]]) -> Iterator[list[tuple[str, Path]]]:
    batch: list[tuple[str, Path]] = []
    size = 0
    for name, path in files:
        length = path.stat().st_size
        if batch and (len(batch) == MAX_FILES_PER_UPLOAD or size + length > MAX_BYTES_PER_UPLOAD):
            yield batch
            batch, size = [], 0
        batch.append((name, path))
        size += length
    if batch:
        yield batch


class Progress:
    """Progress of the upload, redrawn on one line."""

    def __init__(self, total: int) -> None:
        self._total, self._began, self._live = total, time.monotonic(), sys.stderr.isatty()
        self._ready: dict[str, int] = {}
        self._failed: dict[str, str] = {}
        self._unchanged = 0
        self._reported_tenths = -1

    def take(self, answer: dict[str, Any]) -> None:
        """Count the files that the server refused or already had."""
        self._failed |= {one["name"]: one["message"] for one in answer["refused"]}
        self._unchanged += sum(1 for one in answer["documents"] if one.get("unchanged"))

    async def follow(self, client: Client, job_id: str) -> None:
        """Count files as a job reports them. A file reported again after a worker died counts once."""
        async for event in client.follow(job_id):
            data = event.data
            match event.type:
                case "document.ready":
                    self._ready[data["document_id"]] = data["chunks"]
                case "document.failed":
                    self._failed[data["name"]] = data["error"]["message"]
                case "job.failed" | "job.cancelled" if not self._failed:
                    self._failed[f"job {job_id}"] = (data.get("error") or {}).get("message") or event.type
            self.show(data.get("text") or data.get("name") or "")

    def show(self, doing: str) -> None:
        done = len(self._ready) + len(self._failed) + self._unchanged
        if self._live:
            filled = round(BAR_WIDTH * done / self._total)
            line = f"{'█' * filled}{'░' * (BAR_WIDTH - filled)} {done} of {pluralize(self._total, 'file')}  {doing}"
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\033[K{line[:width]}", end="", file=sys.stderr, flush=True)
        elif 10 * done // self._total > self._reported_tenths:
            self._reported_tenths = 10 * done // self._total
            print(f"{done} of {pluralize(self._total, 'file')}", file=sys.stderr, flush=True)

    def print_summary(self, collection: str) -> int:
        """Print the totals and return the exit status: 0 when every file can be searched."""
        if self._live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        ready, passages = len(self._ready), sum(self._ready.values())
        took_s = time.monotonic() - self._began
        unchanged = (
            f", {self._unchanged} {'was' if self._unchanged == 1 else 'were'} already there" if self._unchanged else ""
        )
        if self._unchanged == self._total:
            print(f"{pluralize(self._total, 'file')} already there in {collection!r}; nothing has changed.")
            print(dim(f'To ask about them: ./headrace chat --collection {collection} "…"'))
            return 0
        print(
            f"{ready} of {pluralize(self._total, 'file')} ingested into {collection!r} in {took_s:.1f} s: "
            f"{pluralize(passages, 'passage')}{unchanged}."
        )
        for name, why in list(self._failed.items())[:MAX_SHOWN]:
            print(f"  {name}: {why}", file=sys.stderr)
        if len(self._failed) > MAX_SHOWN:
            print(f"  … and {len(self._failed) - MAX_SHOWN} more: GET /api/documents?state=failed", file=sys.stderr)
        if ready or self._unchanged:
            print(dim(f'To ask about them: ./headrace chat --collection {collection} "…"'))
        return 1 if self._failed else 0
