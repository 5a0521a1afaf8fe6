"""One suite for every document storage, and tests of what is special to each.

S3 is moto's server (the wire protocol over a real socket, signatures checked), a process of its own.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from schema.errors import NotFound, Unavailable
from tests.s3_server import Bucket, s3_server
from tests.system import free_port
from tests.workers.stored_files import names, put, read
from workers.storage.contract import Storage, new_name
from workers.storage.factory import open_storage
from workers.storage.settings import S3Settings, StorageSettings
from workers.storage.staging import Staging

LARGE = 20 * 1024 * 1024  # several parts of an upload


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with s3_server(tmp_path_factory.mktemp("moto")) as started:
        yield started


@pytest.fixture(params=["disk", "s3"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    s3 = request.getfixturevalue("bucket").settings if request.param == "s3" else None
    async with open_storage(StorageSettings(folder=tmp_path / "files", s3=s3)) as opened:
        yield opened


@pytest.mark.parametrize("content", [b"", b"hello", os.urandom(LARGE)], ids=["empty", "small", "large"])
async def test_a_stored_file_is_read_back_byte_for_byte(storage: Storage, content: bytes) -> None:
    name = await put(storage, content)
    assert hashlib.sha256(content).digest() == hashlib.sha256(await read(storage, name)).digest()
    async with storage.local_path(name) as path:
        assert content == path.read_bytes()


async def test_put_moves_the_file(storage: Storage) -> None:
    async with storage.staging.temporary_folder() as folder:
        (folder / "f").write_bytes(b"hello")
        await storage.put(new_name(uuid4()), folder / "f")
        assert [] == list(folder.iterdir())


async def test_a_missing_file_is_not_found(storage: Storage) -> None:
    name = new_name(uuid4())
    with pytest.raises(NotFound):
        await read(storage, name)
    with pytest.raises(NotFound):
        async with storage.local_path(name):
            raise AssertionError("there is nothing to open")


async def test_delete_ignores_missing_files(storage: Storage) -> None:
    tenant_id = uuid4()
    kept, deleted = [await put(storage, b"x", new_name(tenant_id)) for _ in range(2)]
    await storage.delete([deleted, new_name(tenant_id)])
    await storage.delete([deleted])
    await storage.delete([])
    assert {kept} == await names(storage, f"{tenant_id}/")


async def test_names_are_listed_for_all_tenants_or_one(storage: Storage) -> None:
    one, other = uuid4(), uuid4()
    mine = {await put(storage, b"x", new_name(one)) for _ in range(3)}
    theirs = {await put(storage, b"x", new_name(other))}
    assert mine == await names(storage, f"{one}/")
    assert mine | theirs <= await names(storage)


TENANT = "0197a5c9-6f0a-7c11-9f53-0c9d2f6f6b1e"


@pytest.mark.parametrize(
    "name",
    [
        *("", "x", "/etc/passwd", f"{TENANT}/../../etc/passwd", f"../{TENANT}/{TENANT}", f"{TENANT}/{TENANT}/x"),
        *(
            f"{TENANT}/{TENANT}\n",
            f"{TENANT}/",
            f"{TENANT.upper()}/{TENANT}",
            f"{TENANT}\\{TENANT}",
            f"{TENANT}/{TENANT}%00",
        ),
    ],
)
async def test_only_generated_names_are_accepted(storage: Storage, name: str, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"x")
    with pytest.raises(ValueError, match="not the name of a stored file"):
        await storage.put(name, file)
    with pytest.raises(ValueError, match="not the name of a stored file"):
        await storage.delete([name])
    with pytest.raises(ValueError, match="not the name of a stored file"):
        await read(storage, name)
    with pytest.raises(ValueError, match="not the name of a stored file"):
        async with storage.local_path(name):
            raise AssertionError("this must not be opened")
    assert file.exists()


async def test_a_prefix_can_only_name_a_tenants_files(storage: Storage) -> None:
    for prefix in ("..", "/", "*", TENANT[:8], f"{TENANT}/x"):
        with pytest.raises(ValueError, match="prefix"):
            await names(storage, prefix)


async def test_a_temporary_folder_is_deleted_with_its_content(storage: Storage) -> None:
    with contextlib.suppress(RuntimeError):
        async with storage.staging.temporary_folder() as folder:
            (folder / "a").mkdir()
            (folder / "a" / "b").write_bytes(b"x")
            raise RuntimeError("the request failed")
    assert not folder.exists()


async def test_a_bucket_that_does_not_answer_is_unavailable(bucket: Bucket, tmp_path: Path) -> None:
    unreachable = replace(bucket.settings, endpoint=f"http://127.0.0.1:{free_port()}")
    async with open_storage(StorageSettings(folder=tmp_path, s3=unreachable)) as storage:
        with pytest.raises(Unavailable):
            await read(storage, new_name(uuid4()))


async def test_a_wrong_key_is_refused_and_not_repeated_in_the_error(
    bucket: Bucket, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = replace(bucket.settings, secret_key="not-the-secret")
    async with open_storage(StorageSettings(folder=tmp_path, s3=wrong)) as storage:
        with pytest.raises(Unavailable) as raised:
            await read(storage, new_name(uuid4()))
    assert "secret" not in raised.value.message + repr(wrong) + "".join(capfd.readouterr())


async def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "files").write_bytes(b"a file in place of the folder")
    async with open_storage(StorageSettings(folder=tmp_path / "files")) as storage:
        with pytest.raises(Unavailable):
            async with storage.staging.temporary_folder():
                raise AssertionError("no folder can be created")


def test_staging_of_a_killed_process_is_deleted_and_that_of_a_living_one_is_kept(tmp_path: Path) -> None:
    code = (
        "import asyncio, pathlib, sys\n"
        "from workers.storage.staging import Staging\n"
        "async def main():\n"
        "    async with Staging(pathlib.Path(sys.argv[1])).temporary_folder() as folder:\n"
        "        (folder / 'f').write_bytes(b'x')\n"
        "        print(folder, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())"
    )
    dead, living = (subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE) for _ in range(2))
    with dead, living:
        dead_file, kept = (Path(process.stdout.readline().decode().strip()) for process in (dead, living))
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        asyncio.run(Staging(tmp_path).sweep())
        assert (False, True) == (dead_file.parent.exists(), (kept / "f").exists())
        assert [kept.parent.name, f"{kept.parent.name}.lock"] == sorted(path.name for path in tmp_path.iterdir())
        living.kill()


async def test_content_is_synced_before_its_name_and_the_name_before_put_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "files"
    done: list[tuple[str, bool]] = []
    name = new_name(uuid4())

    def fsync(handle: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        done.append((path.name, (folder / name).is_file()))

    monkeypatch.setattr("workers.storage.disk.os.fsync", fsync)
    async with open_storage(StorageSettings(folder=folder)) as disk:
        await put(disk, b"x", name)
    tenant = name[:36]
    assert [("f", False), ("files", False), (tenant, True)] == done


async def test_a_process_that_ends_leaves_no_staging(tmp_path: Path) -> None:
    async with open_storage(StorageSettings(folder=tmp_path)) as storage, storage.staging.temporary_folder() as folder:
        lock = folder.parent.with_name(f"{folder.parent.name}.lock")
        with lock.open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert [] == list((tmp_path / "incoming").iterdir())


@pytest.mark.parametrize(
    ("env", "folder", "s3"),
    [
        ({}, ".headrace/files", None),
        ({"HEADRACE_HOME": "/srv/h"}, "/srv/h/files", None),
        ({"HEADRACE_STORAGE": "/srv/files", "HEADRACE_HOME": "/srv/h"}, "/srv/files", None),
        ({"HEADRACE_STORAGE": "s3://acme"}, ".headrace/files", S3Settings(bucket="acme")),
        (
            {
                "HEADRACE_STORAGE": "s3://acme/a/b/",
                "HEADRACE_S3_ENDPOINT": "http://127.0.0.1:9000/",
                "HEADRACE_S3_REGION": "eu-west-1",
                "HEADRACE_S3_ACCESS_KEY": "k",
                "HEADRACE_S3_SECRET_KEY": "s",
                "AWS_ACCESS_KEY_ID": "other",
                "AWS_SESSION_TOKEN": "other",
            },
            ".headrace/files",
            S3Settings(
                bucket="acme",
                prefix="a/b",
                endpoint="http://127.0.0.1:9000",
                region="eu-west-1",
                access_key="k",
                secret_key="s",
            ),
        ),
        (
            {
                "HEADRACE_STORAGE": "s3://acme",
                "AWS_ACCESS_KEY_ID": "k",
                "AWS_SECRET_ACCESS_KEY": "s",
                "AWS_SESSION_TOKEN": "t",
                "AWS_REGION": "eu-west-1",
            },
            ".headrace/files",
            S3Settings(bucket="acme", region="eu-west-1", access_key="k", secret_key="s", session_token="t"),
        ),
    ],
)
def test_settings_choose_the_storage(env: dict[str, str], folder: str, s3: S3Settings | None) -> None:
    assert StorageSettings(folder=Path(folder), s3=s3) == StorageSettings.from_env(env)


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ({"HEADRACE_STORAGE": "gs://acme"}, "HEADRACE_STORAGE is 'gs://acme'; it must be a folder, s3://bucket"),
        ({"HEADRACE_STORAGE": "s3://"}, "HEADRACE_STORAGE is 's3://'; it must be s3://bucket"),
        ({"HEADRACE_STORAGE": "s3://acme/../x"}, "HEADRACE_STORAGE is 's3://acme/../x'; it must be s3://bucket"),
        (
            {"HEADRACE_STORAGE": "s3://acme", "HEADRACE_S3_ENDPOINT": "s3.example.com"},
            "HEADRACE_S3_ENDPOINT is invalid",
        ),
        ({"HEADRACE_STORAGE": "s3://acme", "HEADRACE_S3_ENDPOINT": "https://k:s@x"}, "HEADRACE_S3_ENDPOINT is invalid"),
        ({"HEADRACE_STORAGE": "s3://acme", "HEADRACE_S3_REGION": "a b"}, "HEADRACE_S3_REGION is 'a b'"),
        ({"HEADRACE_STORAGE": "s3://acme", "HEADRACE_S3_ACCESS_KEY": "k"}, "HEADRACE_S3_SECRET_KEY is not set"),
    ],
)
def test_an_invalid_setting_is_named_with_what_it_must_be(env: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match="HEADRACE") as raised:
        StorageSettings.from_env(env)
    assert sentence in str(raised.value)
