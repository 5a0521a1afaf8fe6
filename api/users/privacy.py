"""Exports everything stored about a user as one file, and erases it. What that is, `schema/queries/identity/privacy.py` says.

    erase:  disable ──► cancel their jobs ──► drop their streams ──► delete or anonymize, in batches ──► delete the user

An interrupted erasure can be requested again: until the last step the user still exists, disabled. Fails closed: without Redis
nothing is deleted, since afterwards nobody would know which streams were theirs.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import structlog
from litestar import Response, Router, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody
from litestar.response import Stream

from api.audit.log import record
from api.auth.login_throttle import forget_attempts, login_name
from api.auth.principals import IDENTITY_TTL_S, MayManagePrivacy, Principal, SignedIn
from api.auth.role_checks import read_email, require_may_manage
from api.http.errors import problems
from api.openapi.operations import described
from api.resources import AppResources, Resources
from api.users.privacy_schemas import ERASE_EXAMPLE, ERASED_EXAMPLE, EXPORTED_EXAMPLE, ErasedOut, EraseIn, UserExportOut
from api.users.routes import UserId
from schema import redis_names
from schema.errors import Conflict, Forbidden, InputError, NotFound, Unavailable
from schema.identity.rights import SEES_ALL, Right
from schema.postgres.connections import Pool, tenant_tx
from schema.queries.identity import privacy, users
from schema.queries.identity.logins import end_logins
from workers.queue.cancel import cancel
from workers.queue.job_core import JobCore
from workers.redis.address import Command
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import ReplyError

log = structlog.get_logger()

NO_USER = "No such user. GET /api/users lists the users of your tenant."
NOT_STOPPED = (
    "Nothing was erased because a job of this user is still stopping. The user is signed out; an owner can send "
    "POST /api/users/{user_id}/erase in a minute."
)
FORMAT = "headrace.user/1"
EXPORT_PAGE = 100  # rows of an export in memory
ERASE_BATCH = 500  # rows of an erasure in one transaction
MAX_CONCURRENT_CANCELS = 8  # jobs that are cancelled at the same time
STOP_TIMEOUT_S = 10.0  # how long to wait for running jobs
IDENTITY_CACHE_S = IDENTITY_TTL_S + 0.5  # how long a cached identity may still submit jobs
FENCE_TTL_S = 60  # how long late events of a deleted job are refused
UNREACHABLE_ATTEMPT = 2**31 - 1  # an attempt number that no job reaches

EXPORT_RIGHTS: frozenset[Right] = frozenset({"sessions.read", "jobs.read", "documents.read"})

encode = msgspec.json.Encoder().encode


EXPORT = ResponseSpec(UserExportOut, description="The export, streamed row by row.", generate_examples=False)


@get(
    "/me/export",
    opt=described(response=EXPORTED_EXAMPLE),
    responses={200: EXPORT, **problems("not_found")},
    summary="Export your data",
    tags=["users"],
)
async def export_my_data(principal: SignedIn, resources: AppResources) -> Response[Any]:
    """Returns everything stored about you as one JSON file. An API key that acts for you can fetch it too, unless it is
    narrowed."""
    if principal.user_id is None:
        raise Forbidden("This key acts for its tenant, not for a user. Sign in to export your data.")
    if not principal.rights >= EXPORT_RIGHTS:
        raise Forbidden(
            "This key is not allowed to read all your sessions, jobs and documents, so it can't export them. Sign in, or use a "
            "key with the rights sessions.read, jobs.read and documents.read."
        )
    return await _export(resources, principal, principal.user_id)


@get(
    "/{user_id:uuid}/export",
    opt=described(response=EXPORTED_EXAMPLE),
    responses={200: EXPORT, **problems("not_found")},
    summary="Export a user's data",
    tags=["users"],
)
async def export_user_data(user_id: UserId, principal: MayManagePrivacy, resources: AppResources) -> Response[Any]:
    """Returns everything stored about a user of your tenant as one JSON file."""
    return await _export(resources, principal, user_id)


@post(
    "/me/erase",
    status_code=200,
    opt=described(example=ERASE_EXAMPLE, response=ERASED_EXAMPLE),
    responses=problems("not_found", "conflict", "unavailable"),
    summary="Erase your account",
    tags=["users"],
)
async def erase_my_account(data: JSONBody[EraseIn], principal: SignedIn, resources: AppResources) -> ErasedOut:
    """Permanently deletes you and everything stored about you. Returns 409 for the last active owner, and if a job of yours
    doesn't stop in time; you are then signed out, and an owner can repeat the request."""
    if principal.kind != "user":
        raise Forbidden("An API key can't erase your account. Sign in to erase it.")
    return await _erase(resources, principal, principal.id, data.confirm)


@post(
    "/{user_id:uuid}/erase",
    status_code=200,
    opt=described(example=ERASE_EXAMPLE, response=ERASED_EXAMPLE),
    responses=problems("not_found", "conflict", "unavailable"),
    summary="Erase a user",
    tags=["users"],
)
async def erase_user(
    user_id: UserId, data: JSONBody[EraseIn], principal: MayManagePrivacy, resources: AppResources
) -> ErasedOut:
    """Permanently deletes a user and everything stored about them. Returns 409 for the last active owner, and if a job of
    theirs doesn't stop in time; they are then signed out, and you can repeat the request."""
    if principal.kind == "key" and principal.user_id == user_id:
        raise Forbidden("An API key can't erase the user it acts for. Sign in to erase your account.")
    return await _erase(resources, principal, user_id, data.confirm)


async def _export(resources: Resources, principal: Principal, user_id: UUID) -> Response[Any]:
    """Record the export, then stream it."""
    pool, tenant_id = resources.core.pool, principal.tenant_id
    async with tenant_tx(pool, tenant_id, user_id=user_id) as db:
        rows = await privacy.list_exported_rows(db, "users", tenant_id, user_id, limit=1)
        if not rows:
            raise NotFound(NO_USER)
        if principal.user_id != user_id:
            require_may_manage(principal, rows[0]["role"])
        counts = await privacy.count_exported_rows(db, tenant_id, user_id)
        await record(db, principal, tenant_id, "user.exported", f"user:{user_id}", counts)
    headers = {"Content-Disposition": f'attachment; filename="user-{user_id}.json"', "Cache-Control": "no-store"}
    return Stream(_document(pool, tenant_id, rows[0]), headers=headers, media_type="application/json")


async def _document(pool: Pool, tenant_id: UUID, user: privacy.ExportedRow) -> AsyncIterator[bytes]:
    """Yield the export in chunks. No transaction is open while the client reads, so it isn't a snapshot."""
    head = {"format": FORMAT, "exported_at": datetime.now(UTC), "user": user, "left_out": privacy.NOT_EXPORTED}
    yield encode(head)[:-1]
    for section, table in privacy.SECTIONS.items():
        yield f',"{section}":['.encode()
        comma = b""
        async for rows in _pages(pool, table, tenant_id, user["id"]):
            yield comma + b",".join([encode(row) for row in rows])
            comma = b","
        yield b"]"
    yield b"}\n"


async def _pages(
    pool: Pool, table: str, tenant_id: UUID, user_id: UUID
) -> AsyncIterator[Sequence[privacy.ExportedRow]]:
    after: list[Any] | None = None
    while True:
        async with tenant_tx(pool, tenant_id, user_id=user_id) as db:
            rows = await privacy.list_exported_rows(db, table, tenant_id, user_id, limit=EXPORT_PAGE, after=after)
        if rows:
            yield rows
        if len(rows) < EXPORT_PAGE:
            return
        after = [rows[-1][name] for name in privacy.PERSONAL_DATA[table].key]


async def _erase(resources: Resources, principal: Principal, user_id: UUID, confirm: str) -> ErasedOut:
    core, tenant_id = resources.core, principal.tenant_id
    if principal.user_id == user_id:
        principal = replace(principal, address=None)  # audit entries from here on are kept
    user = await _disable(core.pool, principal, user_id, confirm)
    await _stop_jobs(core, tenant_id, user_id)
    await asyncio.sleep(IDENTITY_CACHE_S)
    await _stop_jobs(core, tenant_id, user_id)
    counts = Counter({"jobs": await _drop_streams(core, tenant_id, user_id)})
    while erased := await _erase_rows(
        core.pool, tenant_id, user_id
    ):  # repeated, because the sweeper may have merged rows of usage
        counts.update({table: rows for table, rows in erased.items() if table != "jobs"})
    await forget_attempts(core.redis, tenant_id, login_name(principal.tenant.slug, user.email))
    async with tenant_tx(core.pool, tenant_id) as db:
        if await users.delete_user(db, tenant_id, user_id):
            await record(db, principal, tenant_id, "user.erased", f"user:{user_id}", dict(counts))
    log.info("user_erased", tenant_id=str(tenant_id), user_id=str(user_id))
    return ErasedOut(user_id=user_id, rows=dict(counts))


async def _disable(pool: Pool, principal: Principal, user_id: UUID, confirm: str) -> users.User:
    """Disable the user and return their row. Raises NotFound, Forbidden, InputError, or Conflict for the last owner."""
    tenant_id = principal.tenant_id
    async with tenant_tx(pool, tenant_id) as db:
        row = await users.lock_user(db, tenant_id, user_id)
        if row is None:
            raise NotFound(NO_USER)
        require_may_manage(principal, row.role)
        if read_email(confirm, "confirm") != row.email:
            raise InputError("confirm must be the email address of the user to erase.", field="confirm")
        if row.state == "active":
            is_leader = row.role in SEES_ALL
            if is_leader and await users.count_others(db, tenant_id, row.role, but=user_id) == 0:
                raise Conflict(f"This is the last active {row.role}. Create another one first.")
            await users.change_user(db, tenant_id, user_id, {"state": "disabled"})
            await end_logins(db, tenant_id, user_id, reason="user_erased")
            await record(db, principal, tenant_id, "user.changed", f"user:{user_id}", {"state": "disabled"})
    return row


async def _stop_jobs(core: JobCore, tenant_id: UUID, user_id: UUID) -> None:
    """Cancel all jobs of the user and wait until none is live. Raises Conflict if one doesn't stop in time."""
    loop = asyncio.get_running_loop()
    cancelled, deadline = set[UUID](), loop.time() + STOP_TIMEOUT_S
    while True:
        async with tenant_tx(core.pool, tenant_id) as db:
            live = await privacy.list_live_jobs(db, tenant_id, user_id, limit=ERASE_BATCH)
        if not live:
            return
        not_cancelled = [job_id for job_id in live if job_id not in cancelled]
        for start in range(0, len(not_cancelled), MAX_CONCURRENT_CANCELS):
            batch = not_cancelled[start : start + MAX_CONCURRENT_CANCELS]
            await asyncio.gather(*(_cancel(core, tenant_id, job_id) for job_id in batch))
        if not_cancelled:
            cancelled.update(not_cancelled)
            deadline = loop.time() + STOP_TIMEOUT_S
        elif loop.time() > deadline:
            raise Conflict("Nothing was erased because a job of this user is still stopping. Try again in a minute.")
        await asyncio.sleep(0.05)


async def _cancel(core: JobCore, tenant_id: UUID, job_id: UUID) -> None:
    with suppress(NotFound):  # deleted meanwhile
        await cancel(core, tenant_id, job_id, mode="forget")


async def _drop_streams(core: JobCore, tenant_id: UUID, user_id: UUID) -> int:
    """Delete the streams of the user's jobs from Redis and return the number of jobs.

    Each stream's fence stays for a minute, as just a number: events of a job that was just cancelled may still arrive, and a
    worker that finds no fence would write the whole stream again.
    """
    after, count = None, 0
    while True:
        async with tenant_tx(core.pool, tenant_id) as db:
            ids = await privacy.list_user_jobs(db, tenant_id, user_id, limit=ERASE_BATCH, after=after)
        await _send(core.redis, [command for job_id in ids for command in _drop_commands(tenant_id, job_id)])
        count += len(ids)
        if len(ids) < ERASE_BATCH:
            return count
        after = ids[-1]


def _drop_commands(tenant_id: UUID, job_id: UUID) -> tuple[Command, ...]:
    events, fence = redis_names.job_events(tenant_id, job_id), redis_names.job_fence(tenant_id, job_id)
    return (
        ("UNLINK", events),
        ("HSET", fence, "attempt", UNREACHABLE_ATTEMPT, "last", 0),
        ("EXPIRE", fence, FENCE_TTL_S),
    )


async def _send(redis: RedisClient, commands: list[Command]) -> None:
    try:
        replies = await redis.send(commands) if commands else []
    except RedisUnavailable:
        replies = [ReplyError("down")]
    if any(isinstance(reply, ReplyError) for reply in replies):
        raise Unavailable("Nothing was erased because Redis is unavailable. Try again shortly.")


async def _erase_rows(pool: Pool, tenant_id: UUID, user_id: UUID) -> Counter[str]:
    """Run every erasure once and return the number of rows by table."""
    counts = Counter[str]()
    for table, data in privacy.PERSONAL_DATA.items():
        for erasure in data.erasures:
            counts[table] += await _run_erasure(pool, table, erasure, tenant_id, user_id)
    return +counts


async def _run_erasure(pool: Pool, table: str, erasure: privacy.Erasure, tenant_id: UUID, user_id: UUID) -> int:
    after, count = None, 0
    while True:
        async with tenant_tx(pool, tenant_id) as db:
            ids = await privacy.erase_rows(db, table, erasure, tenant_id, user_id, limit=ERASE_BATCH, after=after)
        count += len(ids)
        if len(ids) < ERASE_BATCH:
            return count
        after = ids[-1]


routes = Router("/users", route_handlers=[export_my_data, export_user_data, erase_my_account, erase_user])
