"""Sessions that nobody used for long leave the database for the storage, whole and once, and come back by the importer."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from api.__main__ import main
from schema.errors import Unavailable
from schema.ids import new_id
from schema.postgres.connections import tenant_tx
from schema.queries.identity import privacy
from schema.queries.sessions import archives as queries
from tests.conftest import TestTenant
from tests.workers.jobs import change, rows
from tests.workers.retained_rows import add, add_user, sweeping
from workers.archive import Archive
from workers.queue.job_core import JobCore
from workers.retention import Retention
from workers.storage.contract import Storage
from workers.storage.factory import open_storage
from workers.storage.removals import delete_due_files
from workers.storage.settings import StorageSettings

SAID = [{"type": "text", "text": "Wo ist der Müll?\u2028"}, {"type": "image_url", "image_url": {"url": "data:,x"}}]


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    async with open_storage(StorageSettings(folder=tmp_path / "files")) as opened:
        yield opened


@pytest.fixture
async def retention(core: JobCore, database_url: str, storage: Storage) -> AsyncIterator[Retention]:
    async with sweeping(core, database_url, core.limits, storage) as opened:
        yield opened


@pytest.fixture(autouse=True)
def archiving(database_url: str, tenant: TestTenant) -> None:
    change(database_url, "UPDATE tenants SET retention_days = 30, archive_days = 100 WHERE id = %s", tenant.id)


def talk(database_url: str, tenant: TestTenant, user_id: UUID | None = None, *, days_ago: float = 31) -> UUID:
    """Add a session with a question and an answer, last used so long ago."""
    session_id, at = new_id(), datetime.now(UTC) - timedelta(days=days_ago)
    times = {"created_at": at, "updated_at": at}
    add(database_url, "sessions", tenant, id=session_id, title="t", turns=1, user_id=user_id, **times)
    of = {"session_id": session_id, "turn": 1, "created_at": at}
    add(database_url, "messages", tenant, id=new_id(), ordinal=0, role="user", parts=Jsonb(SAID), **of)
    more = {"model": "openai/small", "usage": Jsonb({"input_tokens": 3}), "detail": Jsonb({"notice": None})}
    answer = Jsonb([{"type": "text", "text": "Im Hof."}])
    add(database_url, "messages", tenant, id=new_id(), ordinal=1, role="assistant", parts=answer, **of, **more)
    return session_id


def stored(database_url: str, table: str, tenant: TestTenant, columns: str = "id") -> list[dict[str, Any]]:
    return rows(database_url, f"SELECT {columns} FROM {table} WHERE tenant_id = %s ORDER BY 1", tenant.id)


def archives(database_url: str, tenant: TestTenant) -> list[dict[str, Any]]:
    return stored(database_url, "files", tenant, "id, user_id, name, purpose, stored_as, size_bytes, expires_at")


async def lines_of(storage: Storage, file: dict[str, Any]) -> list[dict[str, Any]]:
    content = b"".join([chunk async for chunk in storage.read(file["stored_as"])])
    assert file["size_bytes"] == len(content)
    return [json.loads(line) for line in content.decode().split("\n") if line]


async def test_old_sessions_become_a_file_of_each_person_and_leave_the_database(
    retention: Retention, storage: Storage, database_url: str, tenant: TestTenant
) -> None:
    ada, bob = add_user(database_url, tenant), add_user(database_url, tenant)
    old = [talk(database_url, tenant, user) for user in (ada, ada, bob, None)]
    young = talk(database_url, tenant, ada, days_ago=29)
    await retention.sweep()
    assert [young] == [row["id"] for row in stored(database_url, "sessions", tenant)]
    files = archives(database_url, tenant)
    assert {ada: 2, bob: 1, None: 1} == {file["user_id"]: len(await lines_of(storage, file)) for file in files}
    assert {queries.PURPOSE} == {file["purpose"] for file in files}
    assert {99} == {(file["expires_at"] - datetime.now(UTC)).days for file in files}
    lines = [line for file in files for line in await lines_of(storage, file)]
    assert {str(each) for each in old} == {line["session_id"] for line in lines}
    assert [SAID] * 4 == [line["messages"][0]["parts"] for line in lines]
    deeds = rows(
        database_url,
        "SELECT detail FROM audit_log WHERE tenant_id = %s AND action = 'sessions.archived'",
        tenant.id,
    )
    assert (3, 4, 8) == (
        len(deeds),
        *(sum(deed["detail"][what] for deed in deeds) for what in ("sessions", "messages")),
    )


async def test_sessions_that_become_due_on_one_day_wait_for_the_next_unless_there_are_many(
    core: JobCore, retention: Retention, storage: Storage, database_url: str, tenant: TestTenant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    talk(database_url, tenant)
    await retention.sweep()
    for _ in range(2):
        talk(database_url, tenant)
    await retention.sweep()
    assert (1, 2) == (len(archives(database_url, tenant)), len(stored(database_url, "sessions", tenant)))
    monkeypatch.setattr("workers.archive.BATCH", 2)
    await retention.sweep()
    assert (2, 0) == (len(archives(database_url, tenant)), len(stored(database_url, "sessions", tenant)))


async def test_a_session_that_is_gone_on_with_while_it_is_written_stays_and_no_file_does(
    core: JobCore, storage: Storage, database_url: str, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = talk(database_url, tenant)
    put = storage.put

    async def used_meanwhile(name: str, path: Path) -> None:
        await put(name, path)
        change(database_url, "UPDATE sessions SET updated_at = now() - interval '40 days' WHERE id = %s", session_id)

    monkeypatch.setattr(storage, "put", used_meanwhile)
    moved = await Archive(core.pool, storage).move(tenant.id, datetime.now(UTC) - timedelta(days=30), days=100)
    assert (0, [session_id]) == (moved, [row["id"] for row in stored(database_url, "sessions", tenant)])
    assert [] == archives(database_url, tenant)
    assert [] == [name async for name in storage.list_names(f"{tenant.id}/")]


async def test_the_rest_of_what_is_due_goes_while_the_storage_is_unavailable(
    retention: Retention, storage: Storage, database_url: str, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk(database_url, tenant)
    at = datetime.now(UTC) - timedelta(days=31)
    add(database_url, "conversations", tenant, id=new_id(), metadata=Jsonb({}), updated_at=at)

    async def unavailable(name: str, path: Path) -> None:
        raise Unavailable("The storage is unavailable.")

    with monkeypatch.context() as patched:
        patched.setattr(storage, "put", unavailable)
        await retention.sweep()
    assert (1, 0) == tuple(len(stored(database_url, table, tenant)) for table in ("sessions", "conversations"))
    await retention.sweep()
    assert (0, 1) == (len(stored(database_url, "sessions", tenant)), len(archives(database_url, tenant)))


async def test_an_archive_goes_when_its_days_are_over_with_its_bytes(
    core: JobCore, retention: Retention, storage: Storage, database_url: str, tenant: TestTenant
) -> None:
    talk(database_url, tenant)
    await retention.sweep()
    change(database_url, "UPDATE files SET expires_at = now() WHERE tenant_id = %s", tenant.id)
    await retention.sweep()
    await delete_due_files(retention._system_pool, storage)  # pyright: ignore[reportPrivateUsage]
    assert ([], []) == (archives(database_url, tenant), [name async for name in storage.list_names(f"{tenant.id}/")])


@pytest.fixture
async def archived(
    retention: Retention, storage: Storage, database_url: str, tenant: TestTenant, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Path, list[dict[str, Any]], UUID]:  # fmt: skip
    """The folder of what was archived of a person and of nobody, the rows as they were before, and the person."""
    person = add_user(database_url, tenant)
    for user_id in (person, None):
        talk(database_url, tenant, user_id)
    before = kept(database_url, tenant)
    await retention.sweep()
    assert [] == kept(database_url, tenant)
    folder = tmp_path / "out"
    folder.mkdir()
    for file in archives(database_url, tenant):
        async with storage.local_path(file["stored_as"]) as path:
            (folder / f"{file['id']}.jsonl").write_bytes(path.read_bytes())
    monkeypatch.setenv("HEADRACE_DATABASE_URL", database_url)
    return folder, before, person


def kept(database_url: str, tenant: TestTenant) -> list[dict[str, Any]]:
    columns = "s.user_id, s.title, s.turns, s.created_at AS began"
    sql = f"""SELECT m.*, {columns} FROM messages m JOIN sessions s ON s.tenant_id = m.tenant_id AND s.id = m.session_id
      WHERE m.tenant_id = %s ORDER BY m.session_id, m.ordinal"""
    return rows(database_url, sql, tenant.id)


async def restore(tenant: TestTenant, folder: Path) -> int:
    return await asyncio.to_thread(main, ["import", str(folder), "--tenant", tenant.slug])


async def test_an_archive_is_imported_as_it_was_and_only_once(
    archived: tuple[Path, list[dict[str, Any]], UUID],
    database_url: str,
    tenant: TestTenant,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, before, _ = archived
    assert 0 == await restore(tenant, folder)
    assert "2 conversations with 4 messages were imported" in capsys.readouterr().out
    assert before == kept(database_url, tenant)
    assert 0 == await restore(tenant, folder)
    assert "2 conversations are there from an earlier import" in capsys.readouterr().out
    assert before == kept(database_url, tenant)


async def test_what_was_restored_stays_for_another_retention(
    archived: tuple[Path, list[dict[str, Any]], UUID], retention: Retention, database_url: str, tenant: TestTenant
) -> None:
    await restore(tenant, archived[0])
    await retention.sweep()
    assert archived[1] == kept(database_url, tenant)


async def test_copies_of_an_archive_bring_no_erased_person_back(
    archived: tuple[Path, list[dict[str, Any]], UUID],
    database_url: str,
    tenant: TestTenant,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, before, person = archived
    change(database_url, "DELETE FROM users WHERE id = %s", person)
    await restore(tenant, folder)
    assert "left out: conversations of people who are not in this tenant any more (1)" in capsys.readouterr().out
    assert [row for row in before if row["user_id"] is None] == kept(database_url, tenant)


async def test_a_broken_line_is_named_and_nothing_is_imported(
    archived: tuple[Path, list[dict[str, Any]], UUID],
    database_url: str,
    tenant: TestTenant,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = next(archived[0].iterdir())
    file.write_text(file.read_text() + '{"format": "headrace.session/1", "session_id": "x"}\n')
    assert 0 != await restore(tenant, archived[0])
    assert "line 2 is no archived session" in capsys.readouterr().err
    assert [] == kept(database_url, tenant)


async def test_an_erased_persons_sessions_go_from_the_archive_too(
    core: JobCore, retention: Retention, storage: Storage, database_url: str, tenant: TestTenant
) -> None:
    ada, bob = add_user(database_url, tenant), add_user(database_url, tenant)
    for user_id in (ada, bob):
        talk(database_url, tenant, user_id)
    await retention.sweep()
    for table, data in privacy.PERSONAL_DATA.items():
        for erasure in data.erasures:
            async with tenant_tx(core.pool, tenant.id) as db:
                await privacy.erase_rows(db, table, erasure, tenant.id, ada, limit=100)
    await delete_due_files(retention._system_pool, storage)  # pyright: ignore[reportPrivateUsage]
    (left,) = archives(database_url, tenant)
    assert (bob, [left["stored_as"]]) == (left["user_id"], [name async for name in storage.list_names(f"{tenant.id}/")])
