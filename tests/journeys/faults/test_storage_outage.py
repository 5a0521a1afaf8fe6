"""A bucket that is away in the middle of uploads and ingestion: what was accepted is kept, what wasn't is told, and what waits
goes on when it is back.

The S3 server forgets everything when it is killed, as none does that anybody uses; so it is the way to it that dies.
"""

import hashlib
import io
from pathlib import Path

import aiohttp
import psycopg

from api.local.stores.local_stores import Stores
from tests.chaos.proxy import Proxy
from tests.conftest import TestTenant
from tests.journeys.client import Client
from tests.s3_server import s3_server
from tests.system import System, free_port
from tests.waiting import wait_for

LARGE = bytes(range(256)) * 80 * 1024  # 20 MB: several parts of an upload
FILES = {f"letter-{number}.txt": f"Letter {number}. The mill pays in time.".encode() for number in range(6)}
PASSED = 6 * 1024 * 1024


async def test_nothing_is_lost_while_the_bucket_is_away(
    stores: Stores, shared_url: str, tenant: TestTenant, tmp_path: Path
) -> None:
    port = free_port()
    with s3_server(tmp_path, also_at=port) as bucket:
        async with Proxy(bucket.port, at=port) as way:
            roles = ("api", "scheduler", "ingestion")
            system = System(shared_url, stores.redis_url, folder=tmp_path, roles=roles, settings=bucket.env(port))
            async with system, Client(system.url, tenant.headers) as client:
                await _uploads_that_break_off_are_told(client, way)
                await _what_is_told_is_true(client, shared_url, tenant)
                await _what_was_accepted_is_read_when_it_is_back(client, system, way)


async def _upload_large(client: Client) -> tuple[int, dict[str, str], dict[str, str]]:
    form = aiohttp.FormData({"purpose": "user_data"})
    form.add_field("file", io.BytesIO(LARGE), filename="large.bin")
    async with client.http.post("/v1/files", data=form) as answer:
        return answer.status, await answer.json(content_type=None), dict(answer.headers)


async def _uploads_that_break_off_are_told(client: Client, way: Proxy) -> None:
    """The bucket goes away when a third of the file is there."""
    passed = 0

    def third_is_there(data: bytes) -> bool:
        nonlocal passed
        passed += len(data)
        if passed > PASSED:
            way.go_away()
        return passed > PASSED

    way.cut_after = third_is_there
    status, said, headers = await _upload_large(client)
    assert (503, True) == (status, int(headers.get("Retry-After", 0)) > 0), said
    assert passed > PASSED, "nothing was cut off"
    assert [] == (await client.get("/v1/files"))["data"]
    way.cut_after = lambda data: False


async def _what_is_told_is_true(client: Client, database_url: str, tenant: TestTenant) -> None:
    """While it is away, documents are refused as a whole."""
    form = aiohttp.FormData()
    for name, content in FILES.items():
        form.add_field("file", content, filename=name)
    async with client.http.post("/api/documents", data=form) as answer:
        assert (503, True) == (answer.status, int(answer.headers["Retry-After"]) > 0)
        assert "unavailable" == (await answer.json(content_type=None))["code"]
    with psycopg.connect(database_url) as db:
        sql = "SELECT count(*) FROM documents WHERE tenant_id = %s"
        assert (0,) == db.execute(sql, (tenant.id,)).fetchone()


async def _what_was_accepted_is_read_when_it_is_back(client: Client, system: System, way: Proxy) -> None:
    """A worker finds the bucket gone for the files of a job: the job waits, no file fails, and the same bytes are there."""
    await way.come_back()
    status, file, _ = await _upload_large(client)
    assert 200 == status, file
    system.kill("ingestion")
    taken = await client.upload(FILES)
    way.go_away()
    system.start("ingestion")
    await system.ready("ingestion")

    async def was_tried() -> bool:
        return bool((await client.job(taken["job_id"]))["attempts"])

    await wait_for(was_tried, "a worker has tried")
    await wait_for(lambda: "storage_failed" in system.log("ingestion"), "the worker has met the outage")
    job = await client.job(taken["job_id"])
    assert job["state"] in ("queued", "dispatched", "running")
    states = {each["state"] for each in (await client.get("/api/documents"))["items"]}
    assert "failed" not in states

    await way.come_back()
    ended = await client.ended(taken["job_id"])
    assert "succeeded" == ended["state"], ended
    documents = (await client.get("/api/documents"))["items"]
    assert dict.fromkeys(FILES, "ready") == {each["name"]: each["state"] for each in documents}
    async with client.http.get(f"/v1/files/{file['id']}/content") as answer:
        assert hashlib.sha256(LARGE).digest() == hashlib.sha256(await answer.read()).digest()
