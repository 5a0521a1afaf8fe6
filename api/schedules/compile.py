"""From a schedule's template to what the scheduler submits: checked with the rights of whoever saves it, models by full
name."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from litestar.datastructures import Headers

from api.auth.principals import Principal
from api.benchmarks.submission import read_settings
from api.chat.routes import build_chat
from api.chat.schemas import ChatIn
from api.documents.upload.commit import find_or_add_collection
from api.documents.upload.fields import check_name, check_private, read_addresses
from api.http.query_params import default_to_utc
from api.pipelines.run import build_run
from api.pipelines.schemas import ExecuteIn
from api.resources import Resources
from api.schedules.schemas import BenchmarkJobIn, ChatJobIn, IngestionJobIn, PipelineJobIn, ScheduleIn
from api.webhooks.callbacks import callback_of_body
from api.webhooks.targets import check_url
from graphs.providers.tokens import estimate_tokens
from schema.errors import Forbidden, HeadraceError, InputError
from schema.identity.rights import Right
from workers.schedules.cron import check_cron
from workers.schedules.due import first_due
from workers.schedules.template import CompiledJob
from workers.uploads.addresses import Addresses

JobIn = ChatJobIn | PipelineJobIn | IngestionJobIn | BenchmarkJobIn
RIGHTS: dict[type[Any], Right] = {
    ChatJobIn: "chat",
    PipelineJobIn: "pipelines.run",
    IngestionJobIn: "documents.write",
    BenchmarkJobIn: "benchmarks.run",
}
MAX_CHECKED_AT_ONCE = 8


async def compile_schedule(
    resources: Resources, principal: Principal, data: ScheduleIn, schedule_id: UUID
) -> dict[str, Any]:
    """Return the columns of a schedule. Raises InputError, UnknownModel, UnknownAgent, Forbidden and NotFound, which
    name the field."""
    check_cron(data.cron, data.timezone)
    starts_at, ends_at = (None if at is None else default_to_utc(at) for at in (data.starts_at, data.ends_at))
    now = datetime.now(UTC)
    if ends_at is not None and ends_at <= max(now, starts_at or now):
        raise InputError("ends_at must be in the future, and after starts_at.", field="ends_at")
    next_at = first_due(data.cron, data.timezone, now=now, starts_at=starts_at, ends_at=ends_at)
    if next_at is None:
        raise InputError(f"cron: {data.cron!r} is not due before ends_at.", field="ends_at")
    if data.session == "continue" and not isinstance(data.job, ChatJobIn):
        raise InputError("session: only chats have sessions. Omit session, or send new.", field="session")
    compiled = await compile_job(resources, principal, data.job)
    callback = await callback_of_body(resources, principal, Headers(), data)
    compiled = msgspec.structs.replace(compiled, callback=callback)
    return {
        "id": schedule_id,
        "name": data.name,
        "user_id": principal.user_id,
        "created_by": principal.actor,
        "issuer": resources.settings.issuer,
        "kind": str(data.job.__struct_config__.tag),
        "job": msgspec.to_builtins(data.job),
        "compiled": msgspec.to_builtins(compiled),
        "cron": " ".join(data.cron.split()),
        "timezone": data.timezone,
        "starts_at": starts_at,
        "ends_at": ends_at,
        "on_missed": data.on_missed,
        "on_overlap": data.on_overlap,
        "session": data.session,
        "session_id": None,
        "state": "paused" if data.paused else "active",
        "next_at": None if data.paused else next_at,
    }


async def compile_job(resources: Resources, principal: Principal, job: JobIn) -> CompiledJob:
    """Return what is submitted of a template. Errors name the field within `job`."""
    right = RIGHTS[type(job)]
    if right not in principal.rights:
        raise Forbidden(f"Such a job requires the right {right!r}, which your role or key does not have.")
    try:
        match job:
            case ChatJobIn():
                return await _compile_chat(resources, principal, job, right)
            case PipelineJobIn():
                return await _compile_pipeline(resources, principal, job, right)
            case IngestionJobIn():
                return await _compile_ingestion(resources, principal, job, right)
            case BenchmarkJobIn():
                return await _compile_benchmark(resources, principal, job, right)
    except HeadraceError as error:
        if error.field:
            error.message = error.message.replace(f"{error.field} ", f"job.{error.field} ", 1)
            error.field = f"job.{error.field}"
        raise


async def _compile_chat(resources: Resources, principal: Principal, job: ChatJobIn, right: Right) -> CompiledJob:
    asked = ChatIn(message=job.message, agent=job.agent, model=job.model, collections=job.collections)
    submission = await build_chat(asked, principal, resources)
    return CompiledJob(
        kind="chat",
        right=right,
        rights=sorted(principal.rights),
        payload=submission.payload,
        model=submission.model,
        models=[submission.model],
        agent=submission.agent,
        parts=submission.parts,
        input_tokens=estimate_tokens(len(job.message)),
    )


async def _compile_pipeline(
    resources: Resources, principal: Principal, job: PipelineJobIn, right: Right
) -> CompiledJob:
    asked = ExecuteIn(input=job.input, agent=job.agent, model=job.model)
    submission, _ = await build_run(job.pipeline, asked, principal, resources)
    own = submission.payload.get("pipeline")
    return CompiledJob(
        kind=submission.kind.name,
        right=right,
        rights=sorted(principal.rights),
        payload=submission.payload,
        model=submission.model,
        models=[submission.model],
        agent=submission.agent,
        pipeline=UUID(own) if own else None,
        input_tokens=estimate_tokens(len(job.input)),
    )


async def _compile_ingestion(
    resources: Resources, principal: Principal, job: IngestionJobIn, right: Right
) -> CompiledJob:
    fields = read_addresses(job, resources.settings.uploads)
    check_private(fields, principal)
    check_name(fields, len(fields.urls))
    await _check_urls(resources, principal, job.urls)
    async with principal.tx(resources.core.pool) as db:
        collection = await find_or_add_collection(db, resources, principal, fields.collection)
    fetch = Addresses(
        urls=list(fields.urls),
        collection=collection.id,
        private=fields.private,
        metadata=fields.metadata,
        name=fields.name,
    )
    return CompiledJob(
        kind="ingestion",
        right=right,
        rights=sorted(principal.rights),
        payload={"fetch": msgspec.to_builtins(fetch)},
        model=collection.embedder,
        models=[],
        collection=collection.id,
        max_tokens=1,
    )


async def _check_urls(resources: Resources, principal: Principal, urls: Sequence[str]) -> None:
    """Raise EgressRefused or InputError for the first URL that may not be called from here, or doesn't resolve."""
    places = asyncio.Semaphore(MAX_CHECKED_AT_ONCE)

    async def check(place: int, url: str) -> None:
        async with places:
            await check_url(resources, principal, url, f"urls[{place}]", use="documents")

    checks = (check(place, url) for place, url in enumerate(urls))
    for outcome in await asyncio.gather(*checks, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


async def _compile_benchmark(
    resources: Resources, principal: Principal, job: BenchmarkJobIn, right: Right
) -> CompiledJob:
    if job.run_at is not None:
        raise InputError("run_at can't be scheduled: the schedule says when. Omit it.", field="run_at")
    if (job.callback_url, job.callback_events, job.callback_include) != (None, None, None):
        raise InputError("callback_url is a field of the schedule. Send it beside job.", field="callback_url")
    settings = await read_settings(resources, principal, job)
    return CompiledJob(
        kind="benchmark",
        right=right,
        rights=sorted(principal.rights),
        payload={},
        model=settings.models[0],
        models=settings.models,
        benchmark=settings,
        input_tokens=estimate_tokens(len(settings.prompts[0])),
        max_tokens=settings.max_tokens,
    )
