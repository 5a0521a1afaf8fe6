"""Calls this API's routes for lines of batches: a line is a request, so it goes through the route, whoever sends it.

    doorbell ─► hold the line (a lease in its row) ─► route, as whoever created the batch ─► answer, into the row

A worker rings (`workers/batches/run.py`). A line's job has an idempotency key of the line's own, so a line that was held by a
process that died finds the job that it made, and no line is answered twice. Limits of the tenant put a line off; whatever
else the route answers is the line's answer. When its batch has ended, its job is cancelled, as if a client had left.

Not here: which lines are called when, and how many at once (`workers/batches/run.py`).
"""

import asyncio
from contextlib import AsyncExitStack
from typing import Any, Self
from uuid import UUID

import msgspec
import structlog
from litestar.types import ASGIApp

from api.auth.principals import Principal
from api.batches.in_process import Answer, call_route
from api.http.errors import status_for_code
from api.http.vendor_formats.anthropic_errors import error_out as anthropic_error_out
from api.http.vendor_formats.anthropic_errors import is_anthropic
from api.http.vendor_formats.openai_errors import error_out
from api.resources import Resources
from schema import redis_names
from schema.errors import HeadraceError, Unauthenticated, Unavailable
from schema.identity.budgets import read_budgets
from schema.identity.rights import SEES_ALL, rights_for_role
from schema.postgres.connections import tenant_tx
from schema.queries.batches import batches as queries
from schema.queries.batches.batches import HeldLine, LineName
from schema.queries.identity.callers import find_tenant_snapshot
from schema.queries.schedules.schedules import find_owner
from workers.batches.doorbells import read_doorbell
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import RETRY_DELAY_S, ReplyError

log = structlog.get_logger()

CONCURRENCY = 64
"""Lines that one process waits for; how many of a tenant run at once is decided where they are rung for."""
POP_TIMEOUT_S = 2
HOLD_S, RENEW_S = 20.0, 4.0
"""How long a line is held, and how often that is renewed, which is when its batch is found to have ended."""
MAX_DELAY_S = 60.0
SUSPENDED_DELAY_S = 30.0
CLIENT_CLOSED_REQUEST = 499
"""The status of an answer that nobody waits for any more."""
USED_UP = ("insufficient_quota", "budget_exceeded")
"""Codes of a budget that is used up, in OpenAI's and in Anthropic's shape: waiting may take a month."""
OWNER_IS_GONE = "The API key or user that created this batch is gone or was disabled."


class LineServer:
    """Calls lines until it is closed; then those that run go on as jobs, and are picked up elsewhere. Use as `async with`."""

    def __init__(self, app: ASGIApp, resources: Resources, address: RedisAddress) -> None:
        self._app, self._resources = app, resources
        self._redis = RedisClient(address, blocks_s=POP_TIMEOUT_S)
        self._stack = AsyncExitStack()
        self._running: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._stack.push_async_callback(self._redis.close)
        task = asyncio.get_running_loop().create_task(self._serve(), name="batch-lines")
        self._stack.push_async_callback(self._stop, task)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def _stop(self, serving: asyncio.Task[None]) -> None:
        tasks = [serving, *self._running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self) -> None:
        slots = asyncio.Semaphore(CONCURRENCY)
        while True:
            await slots.acquire()
            line = await self._pop()
            if line is None:
                slots.release()
                continue
            task = asyncio.get_running_loop().create_task(self._handle(line), name="batch-line")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            task.add_done_callback(lambda _: slots.release())

    async def _pop(self) -> LineName | None:
        try:
            popped = await self._redis.call("BRPOP", redis_names.BATCH_LINES, POP_TIMEOUT_S)
        except (RedisUnavailable, ReplyError):
            await asyncio.sleep(RETRY_DELAY_S)
            return None
        return None if popped is None else read_doorbell(popped[1])

    async def _handle(self, line: LineName) -> None:
        try:
            async with self._tx(line) as db:
                held = await queries.hold_line(db, line, hold_s=HOLD_S)
            if held is not None:
                await self._answer(line, held)
        except Unavailable:
            log.warning("batch_line_postponed", batch_id=str(line.batch_id), place=line.place)
        except Exception:  # the other lines must go on; this one is rung for again
            log.exception("batch_line_failed", batch_id=str(line.batch_id), place=line.place)

    def _tx(self, line: LineName) -> Any:
        return tenant_tx(self._resources.core.pool, line.tenant_id)

    async def _answer(self, line: LineName, held: HeldLine) -> None:
        left = asyncio.Event()
        renewing = asyncio.create_task(self._renew(line, left), name="batch-line-lease")
        try:
            answer = await self._call(line, held, left)
        except HeadraceError as error:
            answer = _refusal(held.endpoint, error)
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
        delay_s = 0.0 if answer.status_code == CLIENT_CLOSED_REQUEST else _delay_s(answer)
        async with self._tx(line) as db:
            if delay_s is not None:
                await queries.postpone_line(db, line, delay_s=delay_s)
            else:
                request_id = answer.headers.get("x-request-id", "")
                text = answer.body.decode() or "null"
                await queries.add_answer(db, line, status_code=answer.status_code, request_id=request_id, answer=text)

    async def _renew(self, line: LineName, left: asyncio.Event) -> None:
        """Hold the line; when its batch has ended, leave."""
        while not left.is_set():
            await asyncio.sleep(RENEW_S)
            try:
                async with self._tx(line) as db:
                    if not await queries.renew_line(db, line, hold_s=HOLD_S):
                        left.set()
            except Unavailable:
                log.info("batch_line_not_renewed", batch_id=str(line.batch_id), place=line.place)

    async def _call(self, line: LineName, held: HeldLine, left: asyncio.Event) -> Answer:
        principal = await self._principal(line, held)
        if principal.tenant.state != "active":
            return Answer(503, {"retry-after": str(SUSPENDED_DELAY_S)})
        headers = {"idempotency-key": f"batch_{line.batch_id.hex}_{line.place}"}
        return await call_route(self._app, principal, held.endpoint, held.body.encode(), headers=headers, left=left)

    async def _principal(self, line: LineName, held: HeldLine) -> Principal:
        """Return whoever created the batch, with the rights of then that they still have. Raises Unauthenticated."""
        kind, _, name = held.created_by.partition(":")
        async with self._tx(line) as db:
            owner = await find_owner(db, line.tenant_id, user_id=held.user_id, actor=held.created_by)
            tenant = await find_tenant_snapshot(db, line.tenant_id)
        if owner is None or tenant is None or not owner.is_active:
            raise Unauthenticated(OWNER_IS_GONE)
        return Principal(
            tenant=tenant,
            kind="user" if kind == "user" else "key",
            id=UUID(name),
            role=owner.role,
            rights=frozenset(right for right in rights_for_role(owner.role, owner.scopes) if right in held.rights),
            user_id=held.user_id,
            visible_user_id=None if held.user_id is None or owner.role in SEES_ALL else held.user_id,
            budgets=read_budgets(owner.budgets),
            batch_line=f"batch_{line.batch_id.hex}_{line.place}",
        )


def _refusal(endpoint: str, error: HeadraceError) -> Answer:
    """Return an error as the route would have answered it."""
    status = status_for_code(error.code, openai=True)
    if is_anthropic(endpoint):
        body = msgspec.json.encode(anthropic_error_out(status, error.message, code=error.code, request_id=""))
    else:
        body = msgspec.json.encode(error_out(status, error.message, code=error.code))
    return Answer(status, body=body)


def _delay_s(answer: Answer) -> float | None:
    """Return after how long to try a line again that was refused before there was a job, by a limit that passes or by a store
    that doesn't answer; None if this is its answer."""
    if "x-job-id" in answer.headers or answer.status_code not in (429, 503):
        return None
    if answer.status_code == 429 and ("retry-after" not in answer.headers or _code(answer) in USED_UP):
        return None
    try:
        return min(MAX_DELAY_S, max(1.0, float(answer.headers.get("retry-after", "1"))))
    except ValueError:
        return 1.0


class _Details(msgspec.Struct):
    error_code: str | None = None


class _Error(msgspec.Struct):
    code: str | None = None
    details: _Details | None = None


class _Refused(msgspec.Struct):
    error: _Error


def _code(answer: Answer) -> str | None:
    try:
        error = msgspec.json.decode(answer.body, type=_Refused).error
        return error.details.error_code if error.details else error.code
    except msgspec.MsgspecError:
        return None
