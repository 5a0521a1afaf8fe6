"""`/v1/files`: called with the openai package and by hand."""

from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import openai
import psycopg
import pytest

from tests.conftest import TestTenant, make_tenant


@pytest.fixture
async def client(api: httpx.AsyncClient, tenant: TestTenant) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        api_key=tenant.key, base_url="http://test/v1", http_client=api, max_retries=0
    ) as opened:
        yield opened


async def test_a_file_is_kept_listed_read_and_deleted(client: openai.AsyncOpenAI) -> None:
    content = b'{"a": 1}\n' * 1000
    kept = await client.files.create(file=("qu\u1ed1c.jsonl", content), purpose="batch")
    assert ("qu\u1ed1c.jsonl", len(content), "batch", None) == (
        kept.filename,
        kept.bytes,
        kept.purpose,
        kept.expires_at,
    )
    assert kept == await client.files.retrieve(kept.id)
    assert content == (await client.files.content(kept.id)).content
    assert [kept.id] == [file.id async for file in client.files.list()]
    assert [] == [file async for file in client.files.list(purpose="vision")]
    assert (await client.files.delete(kept.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await client.files.retrieve(kept.id)


async def test_pages_have_every_file_once_in_either_order(client: openai.AsyncOpenAI) -> None:
    ids = [(await client.files.create(file=(f"{n}.txt", b"x"), purpose="user_data")).id for n in range(5)]
    assert ids[::-1] == [file.id async for file in client.files.list(limit=2)]
    assert ids == [file.id async for file in client.files.list(limit=2, order="asc")]


async def test_a_file_counts_against_the_storage_until_it_is_deleted(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    with psycopg.connect(database_url) as db:
        db.execute("UPDATE tenants SET max_storage_bytes = 100 WHERE id = %s", (tenant.id,))

    async def keep(size: int) -> httpx.Response:
        return await api.post("/v1/files", files={"file": ("a.txt", b"x" * size)}, data={"purpose": "user_data"})

    first = await keep(80)
    assert 200 == first.status_code, first.text
    assert (409, "storage_full") == ((full := await keep(80)).status_code, full.json()["error"]["code"])
    assert 200 == (await api.delete(f"/v1/files/{first.json()['id']}")).status_code
    assert 200 == (await keep(80)).status_code


async def test_the_files_of_another_tenant_do_not_exist(
    api: httpx.AsyncClient, client: openai.AsyncOpenAI, database_url: str
) -> None:
    kept = await client.files.create(file=("a.txt", b"secret"), purpose="user_data")
    stranger = {"Authorization": f"Bearer {make_tenant(database_url).key}"}
    for path in (f"/v1/files/{kept.id}", f"/v1/files/{kept.id}/content"):
        assert 404 == (await api.get(path, headers=stranger)).status_code
    assert 404 == (await api.delete(f"/v1/files/{kept.id}", headers=stranger)).status_code
    assert [] == (await api.get("/v1/files", headers=stranger)).json()["data"]


@pytest.mark.parametrize(
    ("files", "data", "param"),
    [
        ({}, {"purpose": "batch"}, "file"),
        ({"file": ("a.txt", b"x")}, {}, "purpose"),
        ({"file": ("a.txt", b"x")}, {"purpose": "poetry"}, "purpose"),
        ({"file": ("a.txt", b"x")}, {"purpose": "batch", "colour": "red"}, "colour"),
        ({"file": ("a.txt", b"x")}, {"purpose": "batch", "expires_after[anchor]": "now"}, "expires_after.anchor"),
        (
            {"file": ("a.txt", b"x")},
            {"purpose": "batch", "expires_after[anchor]": "created_at", "expires_after[seconds]": "5"},
            "expires_after.seconds",
        ),
    ],
)
async def test_a_form_that_is_wrong_is_refused_by_its_field(
    api: httpx.AsyncClient, files: dict[str, tuple[str, bytes]], data: dict[str, str], param: str
) -> None:
    sent = {"files": files or {"file": ("", b"")}}
    refused = await api.post("/v1/files", data=data, **sent)
    assert (400, param) == (refused.status_code, refused.json()["error"]["param"]), refused.text


@pytest.mark.parametrize("named", ["", '; filename=""'])
async def test_a_file_without_a_name_is_told_what_it_lacks(api: httpx.AsyncClient, named: str) -> None:
    part = "--x\r\nContent-Disposition: form-data; name="
    parts = f'{part}"purpose"\r\n\r\nbatch\r\n{part}"file"{named}'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    refused = await api.post("/v1/files", content=f"{parts}\r\n\r\nhi\r\n--x--\r\n", headers=headers)
    error = refused.json()["error"]
    assert (400, "file", True) == (refused.status_code, error["param"], "`filename`" in error["message"])


@pytest.mark.parametrize(
    "file_id", ["file-x", "x", f"file-{UUID(int=7)}", f"file-{UUID(int=7).hex}", "file-" + "0" * 31]
)
async def test_an_id_that_is_none_is_not_found(api: httpx.AsyncClient, file_id: str) -> None:
    assert 404 == (await api.get(f"/v1/files/{file_id}")).status_code
