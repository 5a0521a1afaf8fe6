"""Uploading: what is taken, what is told, what is refused and why; no worker runs."""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.api.documents.upload.uploads import PDF, change, files, notes, rows, stored, upload, versions
from tests.api.people import audit_entries, bearer, signed_in
from tests.conftest import TestTenant
from tests.waiting import PATIENCE_S
from workers.uploads.classify import document_name

PROBLEM = "application/problem+json"


async def test_an_upload_is_answered_when_its_bytes_are_safe_and_its_job_waits(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str, folder: Path
) -> None:
    answer = await upload(api, ("notes.txt", b"Rivers."), ("a/b.pdf", PDF), metadata='{"year": 2026, "tags": ["x"]}')
    assert 202 == answer.status_code, answer.text
    body, found = answer.json(), versions(database_url, tenant.id)
    assert (f"/api/jobs/{body['job_id']}", "1") == (answer.headers["location"], answer.headers["retry-after"])
    assert ("default", []) == (body["collection"], body["refused"])
    assert [
        {**{name: row[name] for name in ("name", "version", "state", "size_bytes", "media_type")}, "id": str(row["id"])}
        for row in found
    ] == [{name: value for name, value in one.items() if name != "unchanged"} for one in body["documents"]]
    assert ["notes.txt", "a/b.pdf"] == [row["name"] for row in found]
    assert {row["stored_as"]: row["sha256"] for row in found} == {
        name: hashlib.sha256(content).digest() for name, content in stored(folder, tenant.id).items()
    }
    first = found[0]
    assert ("minilm", 1000, 200) == (first["embedder"], first["chunk_characters"], first["chunk_overlap"])
    assert ({"year": 2026, "tags": ["x"]}, None, "queued") == (first["metadata"], first["user_id"], first["state"])
    assert [] == notes(database_url, tenant.id)


async def test_its_job_says_what_it_is_for_and_the_audit_log_how_much_it_was(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    job_id = (await upload(api, ("a.txt", b"Rivers."), ("b.txt", b"Mills"))).json()["job_id"]
    [job] = rows(database_url, "SELECT kind, model, payload, actor FROM jobs WHERE id = %s", job_id)
    [collection] = rows(database_url, "SELECT id FROM collections WHERE tenant_id = %s", tenant.id)
    assert ("ingestion", "minilm") == (job["kind"], job["model"])
    assert {"collection": str(collection["id"]), "files": 2} == job["payload"]
    [entry] = audit_entries(database_url, tenant.id, "document.uploaded")
    assert (job["actor"], f"job:{job_id}") == (entry["actor"], entry["target"])
    assert {"files": 2, "bytes": 12, "private": False} == entry["detail"]


async def test_a_name_that_is_there_becomes_the_next_version_and_the_same_bytes_change_nothing(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str, folder: Path
) -> None:
    first = (await upload(api, ("a.txt", b"one"))).json()["documents"][0]
    again = await upload(api, ("a.txt", b"one"))
    assert (200, None) == (again.status_code, again.json()["job_id"])
    assert {**first, "unchanged": True} == again.json()["documents"][0]
    mixed = await upload(api, ("new.txt", b"new"), ("a.txt", b"one"))
    assert [("new.txt", 1, False), ("a.txt", 1, True)] == _said(mixed)
    newer = await upload(api, ("a.txt", b"two"))
    assert (202, [("a.txt", 2, False)], first["id"]) == (
        newer.status_code,
        _said(newer),
        newer.json()["documents"][0]["id"],
    )
    assert 3 == len(stored(folder, tenant.id))
    states = {(row["name"], row["version"]): row["state"] for row in versions(database_url, tenant.id)}
    assert {("a.txt", 1): "cancelled", ("a.txt", 2): "queued", ("new.txt", 1): "queued"} == states


def _said(answer: httpx.Response) -> list[tuple[str, int, bool]]:
    return [(one["name"], one["version"], one["unchanged"]) for one in answer.json()["documents"]]


async def test_the_same_bytes_under_a_hundred_names_are_a_hundred_documents_under_one_name_one(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    answer = await upload(api, *((f"{n}.txt", b"same") for n in range(100)), *[("0.txt", b"same")] * 20)
    assert (202, 100, []) == (answer.status_code, len(answer.json()["documents"]), answer.json()["refused"])


async def test_two_files_of_one_name_that_differ_are_one_document_and_one_refusal(api: httpx.AsyncClient) -> None:
    answer = await upload(api, ("a.txt", b"one"), ("a.txt", b"two"))
    assert [("a.txt", 1, False)] == _said(answer)
    assert [("a.txt", "duplicate_name")] == [(one["name"], one["code"]) for one in answer.json()["refused"]]


async def test_one_bad_file_does_not_fail_the_others(api: httpx.AsyncClient) -> None:
    bad = [
        ("empty.txt", b""),
        ("prog.txt", b"MZ\x90\0" + b"\0" * 99),
        ("lie.pdf", b"text"),
        ("large.txt", b"x" * 200_001),
    ]
    answer = await upload(api, *bad, ("good.txt", b"Rivers."))
    assert (202, [("good.txt", 1, False)]) == (answer.status_code, _said(answer))
    refused = {one["name"]: one["code"] for one in answer.json()["refused"]}
    assert {
        "empty.txt": "empty",
        "prog.txt": "mislabelled",
        "lie.pdf": "mislabelled",
        "large.txt": "too_large",
    } == refused
    assert all(one["message"].endswith(".") for one in answer.json()["refused"])


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ([("a.txt", b"")], 422, "empty"),
        ([("a.txt", b"x" * 200_001)], 413, "too_large"),
        ([("a.txt", b"x" * 200_001), ("b.txt", b"x" * 200_001)], 413, "body_too_large"),
        ([("a.txt", b"x" * 200_001), ("b.txt", b"")], 422, "files_refused"),
    ],
)
async def test_where_no_file_is_taken_the_answer_says_why_for_each(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str, sent: Any, status: int, code: str
) -> None:
    answer = await upload(api, *sent)
    assert (status, PROBLEM, code) == (answer.status_code, answer.headers["content-type"], answer.json()["code"])
    assert [name for name, _ in sent] == [error["field"] for error in answer.json()["errors"]]
    assert [] == rows(database_url, "SELECT 1 FROM jobs WHERE tenant_id = %s", tenant.id)


async def test_a_private_document_is_its_uploaders_and_does_not_meet_a_shared_one_of_its_name(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    person = await signed_in(api, database_url, tenant)
    await upload(api, ("a.txt", b"shared"))
    answer = await upload(api, ("a.txt", b"mine"), headers=bearer(person["access_token"]), private="true")
    assert (202, [("a.txt", 1, False)]) == (answer.status_code, _said(answer))
    owners = [row["user_id"] for row in versions(database_url, tenant.id)]
    assert [None, UUID(person["user"]["id"])] == owners
    refused = await upload(api, ("a.txt", b"x"), private="true")
    assert (400, "private") == (refused.status_code, refused.json()["errors"][0]["field"])


async def test_a_member_makes_no_version_of_what_somebody_else_shared(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    await upload(api, ("rules.txt", b"Twelve days of leave."))
    person = await signed_in(api, database_url, tenant)
    headers = bearer(person["access_token"])
    refused = await upload(api, ("rules.txt", b"A hundred days of leave."), headers=headers)
    assert (422, "not_yours") == (refused.status_code, refused.json()["code"])
    beside = await upload(api, ("rules.txt", b"A hundred."), ("mine.txt", b"Mine."), headers=headers)
    assert (202, ["mine.txt"]) == (beside.status_code, [one["name"] for one in beside.json()["documents"]])
    assert ["not_yours"] == [one["code"] for one in beside.json()["refused"]]
    same = await upload(api, ("rules.txt", b"Twelve days of leave."), headers=headers)
    assert 200 == same.status_code, same.text


@pytest.mark.parametrize("path", ["/api/documents", "/documents", "/api/upload", "/upload", "/api/files/upload"])
async def test_each_way_to_upload_leads_to_the_same(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.post(path, files={"whatever": ("a.txt", b"x"), "another": ("b.txt", b"y")})
    assert (202, 2) == (answer.status_code, len(answer.json()["documents"]))


async def test_the_admins_way_needs_an_admins_right(api: httpx.AsyncClient, owner: TestTenant) -> None:
    path = "/api/admin/knowledge/upload"
    assert 403 == (await api.post(path, files=files(("a.txt", b"x")))).status_code
    assert 202 == (await api.post(path, files=files(("a.txt", b"x")), headers=owner.headers)).status_code


async def test_the_same_key_gives_the_same_job_and_leaves_no_second_bytes(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str, folder: Path
) -> None:
    key = {"Idempotency-Key": "k1"}
    sent = [await upload(api, ("a.txt", b"one"), ("bad.pdf", b"x"), headers=key, collection="c") for _ in range(2)]
    assert [202, 202] == [answer.status_code for answer in sent]
    assert sent[0].json() == sent[1].json()
    for other in (
        upload(api, ("a.txt", b"two"), headers=key, collection="c"),
        upload(api, ("a.txt", b"one"), headers=key),
    ):
        answer = await other
        assert (422, "idempotency_key_reused") == (answer.status_code, answer.json()["code"])
    assert 1 == len(versions(database_url, tenant.id)) == len(stored(folder, tenant.id))


async def test_fifty_uploads_at_once_with_one_key_are_one_job(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str, folder: Path
) -> None:
    key = {"Idempotency-Key": "k2"}
    answers = await asyncio.gather(*(upload(api, ("a.txt", b"one"), headers=key) for _ in range(50)))
    assert {202} == {answer.status_code for answer in answers}
    assert 1 == len({answer.json()["job_id"] for answer in answers})
    await _settled(database_url, tenant)
    assert 1 == len(versions(database_url, tenant.id)) == len(stored(folder, tenant.id))


async def _settled(database_url: str, tenant: TestTenant) -> None:
    """Wait until what was not needed is removed."""
    async with asyncio.timeout(PATIENCE_S):
        while notes(database_url, tenant.id):
            await asyncio.sleep(0.02)


async def test_waiting_ends_with_the_time_and_says_how_far_it_is(api: httpx.AsyncClient) -> None:
    answer = await upload(api, ("a.txt", b"one"), headers={"Prefer": "wait=1"})
    assert (202, "queued") == (answer.status_code, answer.json()["documents"][0]["state"])


async def test_waiting_ends_when_the_job_does(api: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "k3"}
    job_id = (await upload(api, ("a.txt", b"one"), headers=key)).json()["job_id"]
    assert 200 == (await api.post(f"/api/jobs/{job_id}/cancel")).status_code
    answer = await upload(api, ("a.txt", b"one"), headers={**key, "Prefer": "wait=1"})
    assert (200, "cancelled") == (answer.status_code, answer.json()["documents"][0]["state"])
    events = await upload(api, ("a.txt", b"one"), headers={**key, "Accept": "text/event-stream"})
    assert ("text/event-stream", job_id) == (
        events.headers["content-type"].partition(";")[0],
        events.headers["x-job-id"],
    )
    assert "event: job.queued" in events.text
    assert "event: job.cancelled" in events.text


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"collection": "../x"}, "collection"),
        ({"private": "maybe"}, "private"),
        ({"metadata": "[1]"}, "metadata"),
        ({"metadata": "{"}, "metadata"),
        ({"metadata": json.dumps({"a": {"b": 1}})}, "metadata.a"),
        ({"metadata": json.dumps({"a": None})}, "metadata.a"),
        ({"metadata": json.dumps({"a": [1]})}, "metadata.a"),
        ({"metadata": json.dumps({"a": "\0"})}, "metadata.a"),
        ({"metadata": json.dumps({str(n): n for n in range(51)})}, "metadata"),
        ({"metadata": json.dumps({"a": "x" * 17_000})}, "metadata"),
        ({"metadata": json.dumps({"": 1})}, "metadata"),
        ({"colour": "red"}, "colour"),
        ({"file": "text"}, "file"),
        ({"collection": ["a", "b"]}, "collection"),
        ({"name": ["a\0b"]}, "name"),
        ({"url": ["https://a.example/" + "x" * 2000]}, "url"),
        ({"url": [f"https://a.example/{n}" for n in range(6)]}, "url"),
    ],
)
async def test_a_field_that_is_wrong_is_named(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str, fields: Any, field: str
) -> None:
    answer = await upload(api, ("a.txt", b"x"), **fields)
    assert (400, "invalid_input", field) == (
        answer.status_code,
        answer.json()["code"],
        answer.json()["errors"][0]["field"],
    )
    assert [] == rows(database_url, "SELECT 1 FROM collections WHERE tenant_id = %s", tenant.id)


async def test_a_name_may_be_said_for_a_single_file_only(api: httpx.AsyncClient) -> None:
    assert [("b.txt", 1, False)] == _said(await upload(api, ("a.txt", b"x"), name="b.txt"))
    answer = await upload(api, ("a.txt", b"x"), ("c.txt", b"y"), name="b.txt")
    assert (400, "name") == (answer.status_code, answer.json()["errors"][0]["field"])


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("../../etc/passwd.txt", "etc/passwd.txt"),
        ("/etc/passwd.txt", "etc/passwd.txt"),
        ("C:\\Users\\me\\a.txt", "Users/me/a.txt"),
        ("C:a.txt", "a.txt"),
        ("a//./b.txt", "a/b.txt"),
        ("in\u202evoice\u200b.txt", "invoice.txt"),
        ("line\nfeed\x00\x7f.txt", "linefeed.txt"),
        ("cong no\u0323.txt", "cong n\u1ecd.txt"),
        ("", "unnamed"),
        ("..", "unnamed"),
        ("x" * 190 + "/" + "y" * 190 + ".txt", ("x" * 190 + "/" + "y" * 105 + ".txt")),
        ("a\u2028b.txt", "a b.txt"),
    ],
)
async def test_a_name_is_shown_without_what_steers_and_never_leads_anywhere(said: str, shown: str) -> None:
    assert shown == document_name(said)
    assert len(document_name(said)) <= 300


async def test_hostile_names_reach_no_path(api: httpx.AsyncClient, tenant: TestTenant, folder: Path) -> None:
    answer = await upload(api, ("../../../../tmp/owned.txt", b"x"), ("/etc/owned2.txt", b"y"))
    assert ["tmp/owned.txt", "etc/owned2.txt"] == [one["name"] for one in answer.json()["documents"]]
    assert 2 == len(stored(folder, tenant.id))
    assert not [name for _, _, names in os.walk(folder) for name in names if "owned" in name]


async def test_a_full_queue_refuses_before_anything_is_read(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    change(database_url, "UPDATE tenants SET max_running = 0, max_queued = 1 WHERE id = %s", tenant.id)
    assert 202 == (await upload(api, ("a.txt", b"x"))).status_code

    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("nobody may read this")
        yield b""

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = await api.post("/api/documents", content=never(), headers=headers)
    assert (429, "queue_full") == (answer.status_code, answer.json()["code"])


async def test_what_is_refused_at_the_commit_leaves_no_bytes(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str, folder: Path
) -> None:
    change(database_url, "UPDATE tenants SET max_storage_bytes = 10 WHERE id = %s", tenant.id)
    answers = await asyncio.gather(*(upload(api, (f"{n}.txt", b"123456")) for n in range(4)))
    assert [202, 409, 409, 409] == sorted(answer.status_code for answer in answers)
    assert {"storage_full"} == {answer.json()["code"] for answer in answers if answer.status_code == 409}
    await _settled(database_url, tenant)
    assert 1 == len(stored(folder, tenant.id)) == len(versions(database_url, tenant.id))
