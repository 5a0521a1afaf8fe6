"""The demo's document: a made-up company's handbook, which `up` and `demo` ingest in a collection of its own."""

import sys
from pathlib import Path
from typing import Any

from api.local.errors import LocalError
from api.local.http_client import Client
from workers.storage.private_files import FILE_MODE

HANDBOOK = Path(__file__).parent / "handbook.md"
COLLECTION = "handbook"
MARKER = "handbook.ingested"


async def upload_handbook(client: Client) -> dict[str, Any]:
    """Upload the handbook; the answer names the job that reads it, or none where it is there already. Raises LocalError."""
    return await client.upload([(HANDBOOK.name.removeprefix("demo_"), HANDBOOK)], {"collection": COLLECTION})


async def ensure_handbook(client: Client, home: Path) -> None:
    """Upload the handbook once for each data folder, so that one that was deleted stays away. Raises nothing: a system without
    it works."""
    if (home / MARKER).exists():
        return
    try:
        await upload_handbook(client)
    except LocalError as error:
        print(f"headrace: the demo's handbook was not ingested: {error.message}", file=sys.stderr, flush=True)
    else:
        (home / MARKER).touch(FILE_MODE)
