"""Bodies that no honest client sends, and uploads that end before they are whole: over real sockets where that matters."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from schema.postgres.connections import pool_for
from tests.api.documents.upload.uploads import (
    LIMITS,
    change,
    notes,
    rows,
    stored,
    under_way,
    upload,
    versions,
)
from tests.conftest import TestTenant
from tests.system import System
from tests.waiting import PATIENCE_S, wait_for
from workers.storage.factory import open_storage
from workers.storage.removals import delete_due_files
from workers.storage.settings import StorageSettings

FORM = {"Content-Type": "multipart/form-data; boundary=here"}
HEAD = b'--here\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
TAIL = b"\r\n--here--\r\n"
MIB = 1 << 20


async def send(api: httpx.AsyncClient, content: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    return await api.post("/api/documents", content=content, headers=headers or FORM)


def part(name: str, content: bytes = b"x", extra: bytes = b"") -> bytes:
    head = f'--here\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'.encode()
    return head + extra + b"\r\n" + content + b"\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--here--\r\n",
        b"rubbish",
        HEAD,
        HEAD + b"no end",
        HEAD + b"x\r\n--here",
        HEAD + b"x\r\n--hereX",
        b"--here\n" + HEAD,
        b'--here\r\nContent-Disposition: attachment; filename="a.txt"\r\n\r\nx' + TAIL,
        b"--here\r\nX: 1\r\n\r\nx" + TAIL,
        b"--here\r\nnonsense\r\n\r\nx" + TAIL,
        part("a.txt", extra=b"X-Long: " + b"x" * 5000 + b"\r\n") + b"--here--\r\n",
        part("a.txt", extra=b"X: 1\r\n" * 20) + b"--here--\r\n",
        part("a.txt", extra=b"Content-Length: 5\r\n") + b"--here--\r\n",
        b'--here\r\nContent-Disposition: form-data; name="collection"\r\n\r\n\xff\xfe' + TAIL,
        b'--here\r\nContent-Disposition: form-data; name="collection"\r\n\r\na\0b' + TAIL,
        b'--here\r\nContent-Disposition: form-data; name="collection"\r\n\r\n' + b"x" * 70_000 + TAIL,
        b'--here\r\nContent-Disposition: form-data; name="file"; filename=""\r\n\r\n' + TAIL,
        b"".join(part(f"{n}.txt") for n in range(LIMITS.max_files + 1)) + b"--here--\r\n",
        b'--here\r\nContent-Disposition: form-data; name="url"\r\n\r\nx\r\n' * 900 + b"--here--\r\n",
    ],
)
async def test_a_form_that_is_none_is_refused_and_leaves_nothing(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str, body: bytes
) -> None:
    answer = await send(api, body)
    assert (400, "invalid_input") == (answer.status_code, answer.json()["code"]), answer.text
    assert [] == notes(database_url, tenant.id) == versions(database_url, tenant.id)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=", 400),
        (f"multipart/form-data; boundary={'x' * 71}", 400),
        ('multipart/form-data; boundary="a\\"b\u00e9"', 400),
        ("application/x-www-form-urlencoded", 415),
        ("text/plain", 415),
        ("application/pdf", 415),
    ],
)
async def test_a_body_of_another_kind_is_refused_unread(api: httpx.AsyncClient, content_type: str, status: int) -> None:
    assert status == (await send(api, _unread(), {"Content-Type": content_type.encode()})).status_code


async def _unread() -> AsyncIterator[bytes]:
    raise AssertionError("nobody may read this")
    yield b""


async def test_a_length_that_is_too_much_is_refused_unread(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    answer = await send(api, _unread(), {**FORM, "Content-Length": str(LIMITS.max_upload + 1)})
    assert (413, "body_too_large") == (answer.status_code, answer.json()["code"])
    change(database_url, "UPDATE tenants SET max_storage_bytes = 1000 WHERE id = %s", tenant.id)
    answer = await send(api, _unread(), {**FORM, "Content-Length": "500000"})
    assert (409, "storage_full") == (answer.status_code, answer.json()["code"])


class Endless:
    """A body without an end; `read` counts what was taken of it."""

    def __init__(self, begin: bytes, piece: bytes) -> None:
        self.read, self._begin, self._piece = 0, begin, piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._begin
        while True:
            self.read += len(self._piece)
            yield self._piece


@pytest.mark.parametrize(
    ("begin", "piece", "status", "most"),
    [
        (b"", b"x" * 10_000, 400, 100_000),
        (b"", b"\r\n" * 5000, 400, 100_000),
        (b"--here\r\nX: ", b"x" * 1000, 400, 10_000),
        (b"--here\r\n", b"X: 1\r\n" * 10, 400, 10_000),
        (HEAD, b"x" * 10_000, 413, LIMITS.max_upload + 10_000),
        (part("a.txt"), part("b.txt"), 400, 100_000),
        (HEAD + b"x" + TAIL, b"x" * 10_000, 413, LIMITS.max_upload + 10_000),
        (b'{"urls": ["', b"x" * 10_000, 413, 120_000),
    ],
    ids=["before", "lines", "header", "headers", "file", "files", "after", "json"],
)
async def test_a_body_without_end_is_ended(
    api: httpx.AsyncClient, begin: bytes, piece: bytes, status: int, most: int
) -> None:
    body = Endless(begin, piece)
    answer = await send(api, body, {"Content-Type": "application/json"} if begin.startswith(b"{") else None)
    assert status == answer.status_code, answer.text
    assert body.read <= most


async def test_what_is_more_than_the_storage_holds_ends_the_reading(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    change(database_url, "UPDATE tenants SET max_storage_bytes = 50000 WHERE id = %s", tenant.id)
    body = Endless(HEAD, b"x" * 10_000)
    answer = await send(api, body)
    assert (409, "storage_full") == (answer.status_code, answer.json()["code"])
    assert body.read <= 70_000


@pytest.mark.parametrize("size", [1, 7, 33, 1000])
async def test_however_a_body_is_cut_up_its_files_are_the_same(
    api: httpx.AsyncClient, tenant: TestTenant, folder: Path, size: int
) -> None:
    content = b"\r\n--her\r\n-" + os.urandom(300) + b"\r--here\r\n" + b"e" * 300
    whole = part("a.csv", b"a\r\n--her" * 99) + part("\u1ec7.txt", b"\r") + b"--here--\r\nafter it"
    assert b"\r\n--here" not in content

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(whole), size):
            yield whole[start : start + size]

    answer = await send(api, pieces())
    assert ["a.csv"] == [one["name"] for one in answer.json()["documents"]]
    assert ["\u1ec7.txt"] == [one["name"] for one in answer.json()["refused"]]
    assert [b"a\r\n--her" * 99] == list(stored(folder, tenant.id).values())


async def test_a_name_that_comes_encoded_is_read(api: httpx.AsyncClient) -> None:
    head = b"--here\r\nContent-Disposition: form-data; name=\"file\"; filename*=UTF-8''n%C6%B0%E1%BB%9Bc.txt\r\n\r\n"
    answer = await send(api, head + b"x" + TAIL)
    assert ["n\u01b0\u1edbc.txt"] == [one["name"] for one in answer.json()["documents"]]


class Serving:
    """The API as a process of its own, with its storage."""

    def __init__(self, system: System, folder: Path) -> None:
        self.system, self.folder = system, folder

    def client(self, tenant: TestTenant) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.system.url, headers=tenant.headers, timeout=PATIENCE_S)

    def memory(self, what: str) -> int:
        """Bytes that the process holds (VmRSS), or held at most (VmHWM)."""
        status = Path(f"/proc/{self.system.processes['api'].pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(what))

    def forget_peak(self) -> int:
        """Count what it holds at most from now on; return what it holds now."""
        Path(f"/proc/{self.system.processes['api'].pid}/clear_refs").write_text("5")
        return self.memory("VmRSS")


@pytest.fixture(scope="module")
async def serving(
    database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Serving]:
    place = tmp_path_factory.mktemp("serving")
    settings = {"HEADRACE_STORAGE": str(place / "files"), "HEADRACE_MAX_FILE": str(200 * MIB)}
    async with System(database_url, redis_url, folder=place, roles=("api",), settings=settings) as system:
        yield Serving(system, place / "files")


async def test_memory_does_not_grow_with_what_is_uploaded(
    serving: Serving, tenant: TestTenant, database_url: str
) -> None:
    async with serving.client(tenant) as http:
        assert 202 == (await upload(http, ("warm.txt", b"x" * MIB))).status_code
        before, size, piece = serving.forget_peak(), 150 * MIB, b"0123456789abcde\n" * 16_384

        async def body() -> AsyncIterator[bytes]:
            yield HEAD
            for _ in range(size // len(piece)):
                yield piece
            yield TAIL

        answer = await send(http, body())
    assert (202, size) == (answer.status_code, answer.json()["documents"][0]["size_bytes"])
    grown = serving.memory("VmHWM") - before
    print(f"grown by {grown / MIB:.1f} MiB at most")
    assert grown < 50 * MIB
    name = versions(database_url, tenant.id)[-1]["stored_as"]
    assert size == (serving.folder / name).stat().st_size
    (serving.folder / name).unlink()


async def test_a_client_that_leaves_midway_leaves_no_file(
    serving: Serving, tenant: TestTenant, database_url: str
) -> None:
    head = (
        f"POST /api/documents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {tenant.key}\r\nContent-Length: 99000000\r\n"
    )
    with socket.create_connection(("127.0.0.1", serving.system.ports["api"])) as line:
        line.sendall(f"{head}Content-Type: {FORM['Content-Type']}\r\n\r\n".encode() + HEAD + b"x" * MIB)
        await wait_for(lambda: under_way(serving.folder), "the file is under way")
    await wait_for(lambda: not under_way(serving.folder), "it is gone")
    assert [] == versions(database_url, tenant.id)
    assert "request_failed" not in serving.system.log("api")


async def test_a_refusal_reaches_a_client_that_is_still_sending(
    serving: Serving, tenant: TestTenant, database_url: str
) -> None:
    change(database_url, "UPDATE tenants SET max_storage_bytes = 1000 WHERE id = %s", tenant.id)
    async with serving.client(tenant) as http:
        answer = await upload(http, ("a.txt", b"x" * 20 * MIB))
        assert (409, "storage_full") == (answer.status_code, answer.json()["code"])
        assert 200 == (await http.get("/api/auth/me")).status_code


async def test_uploads_side_by_side_never_store_more_than_the_tenant_may(
    serving: Serving, tenant: TestTenant, database_url: str
) -> None:
    change(database_url, "UPDATE tenants SET max_storage_bytes = 70000 WHERE id = %s", tenant.id)
    async with serving.client(tenant) as http:
        answers = await asyncio.gather(*(upload(http, (f"{n}.txt", b"x" * 10_000)) for n in range(20)))
    assert [202] * 7 + [409] * 13 == sorted(answer.status_code for answer in answers)
    assert {"storage_full"} == {answer.json()["code"] for answer in answers if answer.status_code == 409}
    await wait_for(lambda: not notes(database_url, tenant.id), "what was refused is removed")
    [known] = rows(database_url, "SELECT stored_bytes FROM knowledge WHERE tenant_id = %s", tenant.id)
    assert (70_000, 7) == (known["stored_bytes"], len(stored(serving.folder, tenant.id)))


WAITING = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name = 'headrace api'
"""


@pytest.fixture
def held(database_url: str) -> Iterator[Callable[[TestTenant], psycopg.Connection[Any]]]:
    """Hold what the commit of a tenant's uploads needs, until the connection is closed."""
    with psycopg.connect(database_url) as db:

        def hold(tenant: TestTenant) -> psycopg.Connection[Any]:
            db.execute("SELECT 1 FROM knowledge WHERE tenant_id = %s FOR UPDATE", (tenant.id,))
            return db

        yield hold


@pytest.mark.parametrize("commits", [True, False])
async def test_bytes_of_a_killed_upload_go_unless_it_was_committed(
    serving: Serving, tenant: TestTenant, database_url: str, held: Any, commits: bool
) -> None:
    async with serving.client(tenant) as http:
        assert 202 == (await upload(http, ("a.txt", b"one"))).status_code
        db = held(tenant)
        second = asyncio.create_task(upload(http, ("b.txt", b"two")))
        [waiting] = await wait_for(lambda: rows(database_url, WAITING), "the commit waits")
        assert 2 == len(stored(serving.folder, tenant.id))
        serving.system.kill("api")
        with pytest.raises(httpx.HTTPError):
            await second
    if not commits:
        change(database_url, "SELECT pg_terminate_backend(%s, 5000)", waiting["pid"])
    db.rollback()
    await wait_for(lambda: not rows(database_url, WAITING), "the commit is decided")
    await wait_for(lambda: len(versions(database_url, tenant.id)) == (2 if commits else 1), "it is as it will be")
    change(database_url, "UPDATE file_removals SET due_at = now() WHERE tenant_id = %s", tenant.id)
    async with (
        open_storage(StorageSettings(folder=serving.folder)) as storage,
        pool_for(database_url, "headrace_system", max_size=2) as system,
    ):
        await delete_due_files(system, storage)
    kept = {row["stored_as"] for row in versions(database_url, tenant.id)}
    assert (kept, [], []) == (
        set(stored(serving.folder, tenant.id)),
        notes(database_url, tenant.id),
        under_way(serving.folder),
    )
    serving.system.start("api")
    await serving.system.ready("api")


FORGET_NOTES = """
CREATE FUNCTION forget_notes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
  DELETE FROM file_removals WHERE tenant_id = NEW.tenant_id;
  RETURN NEW;
END $$;
CREATE TRIGGER forget BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION forget_notes();
"""


async def test_bytes_that_were_removed_meanwhile_are_not_committed(
    serving: Serving, tenant: TestTenant, database_url: str
) -> None:
    """As when the note of an upload that took too long has fallen due."""
    change(database_url, FORGET_NOTES)
    try:
        async with serving.client(tenant) as http:
            answer = await upload(http, ("a.txt", b"one"))
    finally:
        change(database_url, "DROP FUNCTION forget_notes CASCADE")
    assert (503, "unavailable") == (answer.status_code, answer.json()["code"])
    assert [] == versions(database_url, tenant.id)
