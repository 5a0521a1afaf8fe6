"""Whatever headrace writes on a machine is for its own user only, whatever umask it was started with."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.client import Client
from tests.journeys.local.up_process import Up


@pytest.mark.parametrize("umask", [0o000, 0o022], ids=["umask 000", "umask 022"])
async def test_nobody_else_can_read_what_a_start_and_an_upload_leave(umask: int, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Up(home, umask=umask) as up:
        await upload(up)
        assert {"files", "logs", "lock", "postgres", "valkey", "demo.key", "state.json"} <= set(os.listdir(home))
        assert [] == list(open_to_others(home))


async def test_what_older_versions_left_readable_is_closed_at_the_next_start(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Up(home) as up:
        await upload(up)
    for path in (home, *home.rglob("*")):
        if "postgres" not in path.relative_to(home).parts:  # Postgres itself refuses to start in an open folder
            path.chmod(path.stat().st_mode | 0o055)
    with Up(home):
        assert [] == list(open_to_others(home))


async def upload(up: Up) -> None:
    async with Client(up.url, up.headers) as client:
        answer = await client.upload({"note.md": b"The gate is green."})
        await client.ended(answer["job_id"])


def open_to_others(home: Path) -> Iterator[str]:
    """What group or others may read, write or enter."""
    for path in (home, *home.rglob("*")):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & 0o077:
            yield f"{oct(stat.S_IMODE(mode))} {path.relative_to(home)}"
