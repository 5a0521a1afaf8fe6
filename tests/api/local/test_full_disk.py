"""A first start on a disk that is too small says so, and goes on where it stopped once there is room."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from api.local.errors import LocalError
from api.local.keys import admin_key
from api.local.stack import prepared_stores
from api.local.stack_settings import StackSettings, settings_from

TOO_SMALL = ("4k", "64k", "8m", "24m", "38m", "42m", "46m", "47m", "48m")
"""From no room for the lock to room for all but the last migrations: a new database takes about 49 MB."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own in memory, as small as there is."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", tmp_path], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount: {mounted.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def resize(disk: Path, size: str, inodes: int = 0) -> None:
    options = f"remount,size={size},nr_inodes={inodes}"
    subprocess.run(["mount", "-o", options, disk], check=True, capture_output=True)


def test_a_start_on_a_full_disk_names_the_disk_and_works_when_there_is_room(disk: Path) -> None:
    settings = settings_from({"HEADRACE_HOME": str(disk / "home")})
    for size in TOO_SMALL:
        resize(disk, size)
        assert_names_the_disk(settings, size)
    resize(disk, "400m")
    with prepared_stores(settings) as stores, psycopg.connect(stores.database_url) as db:
        assert ("demo",) == db.execute("SELECT slug FROM tenants WHERE slug = 'demo'").fetchone()
        assert admin_key(settings.home) is not None
        with redis.Redis.from_url(stores.redis_url) as client:
            assert client.set("written", "yes")


def test_a_start_on_a_disk_without_free_inodes_names_the_disk(disk: Path) -> None:
    settings = settings_from({"HEADRACE_HOME": str(disk / "home")})
    for inodes in (3, 30, 600):
        resize(disk, "400m", inodes)
        assert_names_the_disk(settings, f"{inodes} inodes")
    resize(disk, "400m")
    with prepared_stores(settings) as stores, psycopg.connect(stores.database_url) as db:
        assert db.execute("SELECT 1").fetchone()


def assert_names_the_disk(settings: StackSettings, size: str) -> None:
    with pytest.raises(LocalError) as raised, prepared_stores(settings):
        pass
    message = raised.value.message
    assert f"The disk of {settings.home} is full: " in message, (size, message)
    assert " MB free of " in message
    assert "HEADRACE_DATABASE_URL" not in message
