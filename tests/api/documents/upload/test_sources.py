"""Files that come in zips, and files that are fetched from addresses."""

import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.documents.upload.uploads import LIMITS, PDF, change, rows, stored, upload, versions, zipped
from tests.conftest import TestTenant
from tests.counterparts.http_server import CounterpartServer, Exchange


def names_of(answer: httpx.Response) -> list[str]:
    return [one["name"] for one in answer.json()["documents"]]


def refused_of(answer: httpx.Response) -> dict[str, str]:
    return {one["name"]: one["code"] for one in answer.json()["refused"]}


async def test_each_file_of_a_zip_is_a_document(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str, folder: Path
) -> None:
    members = {f"reports/{n}.txt": f"Report {n}".encode() for n in range(500)}
    answer = await upload(api, ("all.zip", zipped(members)))
    assert (202, list(members)) == (answer.status_code, names_of(answer))
    assert sorted(members.values()) == sorted(stored(folder, tenant.id).values())
    assert sum(map(len, members.values())) == sum(row["size_bytes"] for row in versions(database_url, tenant.id))


async def test_what_is_bad_in_a_zip_is_refused_by_itself(api: httpx.AsyncClient) -> None:
    members = {"a.txt": b"Rivers.", "empty.txt": b"", "prog.exe": b"MZ\x90\0" + b"\0" * 99, "large.txt": b"x" * 200_001}
    members |= {
        "../../evil.txt": b"out",
        "inner.zip": zipped({"b.txt": b"x"}),
        "__MACOSX/a.txt": b"x",
        ".DS_Store": b"x",
    }
    answer = await upload(api, ("all.zip", zipped(members)), ("a.txt", b"Another."))
    assert ["a.txt"] == names_of(answer)
    codes = {"empty.txt": "empty", "prog.exe": "unsupported", "large.txt": "too_large", "evil.txt": "damaged"}
    assert {**codes, "inner.zip": "unsupported", "a.txt": "duplicate_name"} == refused_of(answer)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (zipped({"bomb.txt": b"\0" * 60_000_000}), "bomb"),
        (zipped({"a.txt": b"Rivers."})[:-30], "damaged"),
        (zipped({}), "empty"),
        (zipped({f"{n}.txt": b"x" for n in range(LIMITS.max_files + 1)}), "too_large"),
        (zipped({f"{n}.txt": b"x" for n in range(1001)}), "too_large"),
    ],
    ids=["a bomb", "cut off", "empty", "more files than are left", "more files than are unpacked"],
)
async def test_a_zip_that_cannot_be_unpacked_is_refused_as_a_whole(
    api: httpx.AsyncClient, tenant: TestTenant, folder: Path, content: bytes, code: str
) -> None:
    answer = await upload(api, ("x.zip", content))
    assert code == answer.json()["code"]
    assert answer.status_code in (413, 422)
    assert {} == stored(folder, tenant.id)


async def test_what_a_zip_unpacks_to_counts_against_the_storage(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str, folder: Path
) -> None:
    change(database_url, "UPDATE tenants SET max_storage_bytes = 100000 WHERE id = %s", tenant.id)
    packed = zipped({f"{n}.txt": b"x" * 60_000 for n in range(2)})
    answer = await upload(api, ("x.zip", packed))
    assert (409, "storage_full", {}) == (answer.status_code, answer.json()["code"], stored(folder, tenant.id))
    assert len(packed) < 100_000


class Shelf(CounterpartServer):
    """A server of files: by path their bytes and headers, or where else to look."""

    async def handle(self, exchange: Exchange) -> None:
        path = exchange.path.partition("?")[0]
        if path == "/large.txt":
            self._send(exchange, b"x" * 200_001)
        elif path == "/bomb.txt":
            self._send(exchange, zlib.compress(b"x" * 50_000_000, 9, 31), "content-encoding: gzip")
        elif path == "/moved":
            exchange.write(b"HTTP/1.1 302 Found\r\nlocation: /docs/n%C6%B0%E1%BB%9Bc.txt\r\ncontent-length: 0\r\n\r\n")
        elif path == "/inside":
            exchange.write(b"HTTP/1.1 302 Found\r\nlocation: http://10.0.0.1/secret\r\ncontent-length: 0\r\n\r\n")
        elif path == "/round":
            exchange.write(b"HTTP/1.1 302 Found\r\nlocation: /round\r\ncontent-length: 0\r\n\r\n")
        elif path == "/called":
            said = "content-disposition: attachment; filename*=UTF-8''..%2F..%2Fb%C3%A1o.pdf"
            self._send(exchange, PDF, said)
        elif path == "/broken.txt":
            exchange.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
            exchange.cut()
        elif path == "/missing.txt":
            exchange.answer(404, {})
        else:
            self._send(exchange, b"Of " + path.encode())

    def _send(self, exchange: Exchange, body: bytes, *headers: str) -> None:
        lines = ["HTTP/1.1 200 OK", f"content-length: {len(body)}", "content-type: application/octet-stream", *headers]
        exchange.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        exchange.finish()


@pytest.fixture
async def shelf() -> AsyncIterator[Shelf]:
    async with Shelf() as server:
        yield server


async def fetch(api: httpx.AsyncClient, *urls: str, **said: Any) -> httpx.Response:
    return await api.post("/api/documents", json={"urls": list(urls), **said})


async def test_what_is_at_an_address_becomes_a_document(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str, folder: Path, shelf: Shelf
) -> None:
    urls = [f"{shelf.url}/docs/a.txt?key=1", f"{shelf.url}/moved", f"{shelf.url}/called"]
    answer = await fetch(api, *urls, collection="web", metadata={"from": "shelf"})
    assert (202, "web", []) == (answer.status_code, answer.json()["collection"], answer.json()["refused"])
    found = versions(database_url, tenant.id)
    assert [("a.txt", urls[0]), ("nước.txt", urls[1]), ("báo.pdf", urls[2])] == [
        (row["name"], row["source_url"]) for row in found
    ]
    assert [{"from": "shelf"}] * 3 == [row["metadata"] for row in found]
    assert {b"Of /docs/a.txt", b"Of /docs/n%C6%B0%E1%BB%9Bc.txt", PDF} == set(stored(folder, tenant.id).values())


async def test_addresses_may_come_in_a_form_beside_files(api: httpx.AsyncClient, shelf: Shelf) -> None:
    answer = await upload(api, ("a.txt", b"Rivers."), url=[f"{shelf.url}/b.txt", f"{shelf.url}/c.txt"])
    assert ["a.txt", "b.txt", "c.txt"] == names_of(answer)


async def test_what_cannot_be_fetched_is_refused_by_itself(api: httpx.AsyncClient, shelf: Shelf) -> None:
    paths = {
        "large.txt": "too_large",
        "bomb.txt": "too_large",
        "broken.txt": "egress_failed",
        "missing.txt": "egress_failed",
    }
    answer = await fetch(api, f"{shelf.url}/ok.txt", *(f"{shelf.url}/{path}?key=hidden" for path in paths))
    assert ["ok.txt"] == names_of(answer)
    assert {f"{shelf.url}/{path}": code for path, code in paths.items()} == refused_of(answer)
    assert "hidden" not in answer.text


@pytest.mark.parametrize(
    "url",
    [
        *("http://10.0.0.1/x", "http://169.254.169.254/latest/meta-data", "http://[::1]:9/x", "file:///etc/passwd"),
        *("ftp://example.com/x", "https://user:word@example.com/x", "nonsense", "https://a.example\\@10.0.0.1/"),
    ],
)
async def test_an_address_that_is_private_or_odd_is_refused(api: httpx.AsyncClient, url: str) -> None:
    answer = await fetch(api, url)
    assert (422, "egress_refused") == (answer.status_code, answer.json()["code"])


@pytest.mark.parametrize(("path", "code"), [("inside", "egress_refused"), ("round", "egress_failed")])
async def test_a_redirect_leads_nowhere_that_an_address_may_not(
    api: httpx.AsyncClient, shelf: Shelf, path: str, code: str
) -> None:
    answer = await fetch(api, f"{shelf.url}/{path}")
    assert (422, code) == (answer.status_code, answer.json()["code"])


async def test_the_same_key_does_not_fetch_again(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str, shelf: Shelf
) -> None:
    body = {"urls": [f"{shelf.url}/a.txt"]}
    said = [await api.post("/api/documents", json=body, headers={"Idempotency-Key": "u1"}) for _ in range(2)]
    assert said[0].json() == said[1].json()
    assert (1, 1) == (
        len(shelf.requests),
        len(rows(database_url, "SELECT 1 FROM jobs WHERE tenant_id = %s", tenant.id)),
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "urls"),
        ({"urls": []}, "urls"),
        ({"urls": [f"https://a.example/{n}" for n in range(6)]}, "urls"),
        ({"urls": ["https://a.example"], "metadata": {"a": {"b": 1}}}, "metadata.a"),
        ({"urls": ["https://a.example"], "private": "yes"}, "private"),
        ({"urls": ["https://a.example"], "colour": "red"}, "colour"),
    ],
)
async def test_a_body_that_names_addresses_wrongly_is_told_the_field(
    api: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    answer = await api.post("/api/documents", json=body)
    assert (400, field) == (answer.status_code, answer.json()["errors"][0]["field"])
