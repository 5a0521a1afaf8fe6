"""`POST /api/hooks/{trigger_id}`: a call of a trigger. It needs no key of ours: the trigger's secret, or a signature with it.

In this order: whose trigger, who calls, how often, what the body holds, the job. A stranger learns nothing: an unknown trigger,
a wrong secret and a wrong signature are the same 404; and takes nothing: their calls have a limit of their own, and only a few
of them are noted. Each other call of a trigger is noted, with its outcome.
"""

import hashlib
import hmac
import re
import time
from dataclasses import dataclass, field, replace
from typing import Annotated, Any
from uuid import UUID

import msgspec
import structlog
from litestar import Response, Router, post
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.params import PathParameter

from api.auth.principals import ANY_QUERY, PUBLIC, client_address
from api.http.bodies.json_body import JsonRequest
from api.http.errors import problems, status_for_code
from api.openapi.operations import described
from api.resources import AppResources, Resources
from api.triggers.schemas import STARTED_EXAMPLE, StartedOut
from schema import redis_names
from schema.errors import Conflict, FieldsAbsent, HeadraceError, InputError, LimitReached, NotFound
from schema.postgres.connections import tenant_tx
from schema.queries.jobs.submissions import Idempotency
from schema.queries.triggers import triggers
from schema.queries.triggers.triggers import StoredTrigger
from workers.limits import minutes
from workers.redis.client import RedisUnavailable
from workers.redis.connection import ReplyError
from workers.triggers.filling import FieldsMissing, TooLong, fill
from workers.triggers.submitting import read_template, submit_call
from workers.webhooks.signing import NotVerified, verify

log = structlog.get_logger()

NO_HOOK = "No such hook, or its secret or signature is wrong."
MAX_BODY = 1024 * 1024
DELIVERY_ID = re.compile(r"[\x21-\x7e]{1,200}")
DELIVERY_HEADERS = ("webhook-id", "x-github-delivery", "idempotency-key")
MAX_REFUSED, NOTED_REFUSED = 600, 20
"""Calls per minute with a wrong secret or signature: how many are answered, and how many noted."""
ERRORS = problems(
    *("not_found", "conflict", "body_too_large", "fields_missing", "idempotency_key_reused", "rate_limit_exceeded"),
    *("queue_full", "budget_exceeded", "model_unknown", "agent_unknown", "forbidden"),
)
OPTIONS: dict[str, Any] = {
    "status_code": 202,
    "opt": described(response=STARTED_EXAMPLE, response_headers={202: ("Location", "X-Job-ID")}) | PUBLIC | ANY_QUERY,
    "responses": ERRORS,
    "request_max_body_size": MAX_BODY,
}
DESCRIPTION = """Starts the trigger's job with the values of the JSON body. `webhook-id`, `X-GitHub-Delivery` or
`Idempotency-Key` names the delivery: sent again within a day, it is answered with the same job."""

TriggerId = Annotated[UUID, PathParameter(description="Id of the trigger.")]


@dataclass(frozen=True)
class Call:
    """A call of somebody's trigger."""

    tenant_id: UUID
    trigger: StoredTrigger
    request: JsonRequest
    body: bytes = field(repr=False)
    path_secret: str | None = field(repr=False)

    @property
    def delivery_id(self) -> str | None:
        """The caller's name for this delivery. Raises InputError for one that can't be kept."""
        name = next((name for name in DELIVERY_HEADERS if self.request.headers.get(name)), None)
        if name is None:
            return None
        if not DELIVERY_ID.fullmatch(text := self.request.headers[name]):
            raise InputError(f"{name} must be 1 to 200 visible ASCII characters.", field=name)
        return text


@post("/{trigger_id:uuid}", summary="Call a trigger", description=DESCRIPTION, **OPTIONS)
async def call_trigger(trigger_id: TriggerId, request: JsonRequest, resources: AppResources) -> Response[StartedOut]:
    return await _call(trigger_id, None, request, resources)


@post("/{trigger_id:uuid}/{secret:str}", summary="Call a trigger by a secret path", description=DESCRIPTION, **OPTIONS)
async def call_trigger_by_path(
    trigger_id: TriggerId,
    secret: Annotated[str, PathParameter(description="The trigger's secret.")],
    request: JsonRequest,
    resources: AppResources,
) -> Response[StartedOut]:
    return await _call(trigger_id, secret, request, resources)


async def _call(
    trigger_id: UUID, path_secret: str | None, request: JsonRequest, resources: Resources
) -> Response[StartedOut]:
    tenant_id = await triggers.find_trigger_tenant(resources.core.pool, trigger_id)
    if tenant_id is None:
        raise NotFound(NO_HOOK)
    async with tenant_tx(resources.core.pool, tenant_id) as db:
        trigger = await triggers.find_trigger(db, tenant_id, trigger_id)
    if trigger is None:
        raise NotFound(NO_HOOK)
    secret = resources.vault.open(trigger.secret, tenant_id=tenant_id, owner_id=trigger.id)
    call = Call(tenant_id, trigger, request, b"", path_secret)
    if trigger.auth != "secret" or _is_authentic(call, secret):  # else nothing of the body is read
        call = replace(call, body=await _read_body(resources, call))
    if not _is_authentic(call, secret):
        if await _count(resources, call, "refused", MAX_REFUSED) <= NOTED_REFUSED:
            await _note(resources, call, status=404, code="not_found", detail="The secret or the signature is wrong.")
        raise NotFound(NO_HOOK)
    await _count(resources, call, "calls", trigger.calls_per_minute)
    try:
        submitted = await _start(resources, call)
    except HeadraceError as error:
        await _note(resources, call, status=status_for_code(error.code), code=error.code, detail=error.message)
        raise
    code = "replayed" if submitted.replayed else "started"
    await _note(resources, call, status=202, code=code, job_id=submitted.job_id)
    headers = {"Location": f"/api/jobs/{submitted.job_id}", "X-Job-ID": str(submitted.job_id)}
    return Response(StartedOut(job_id=submitted.job_id, replayed=submitted.replayed), headers=headers)


async def _read_body(resources: Resources, call: Call) -> bytes:
    """Return the body. One that is too large is noted if its caller has shown the secret: a signature can't be verified."""
    try:
        return await call.request.body()
    except RequestEntityTooLarge:
        if call.trigger.auth == "secret":
            detail = f"The body exceeds {MAX_BODY:,} bytes."
            await _note(resources, call, status=413, code="body_too_large", detail=detail)
        raise


async def _count(resources: Resources, call: Call, what: str, most: int) -> int:
    """Return how many calls of this sort there were in this minute. Raises LimitReached for more than `most`. Without Redis
    nothing is counted; the tenant's limits hold."""
    minute, left_s = minutes.this_minute()
    try:
        key = redis_names.trigger_calls(call.tenant_id, call.trigger.id, f"{what}:{minute}")
        calls = await minutes.count(resources.core.redis, key)
    except (RedisUnavailable, ReplyError):
        return 0
    if calls > most:
        raise LimitReached(
            f"This trigger takes {most} such calls per minute. Retry in the next one.",
            code="rate_limit_exceeded",
            retry_after_s=left_s,
        )
    return calls


async def _start(resources: Resources, call: Call) -> Any:
    trigger = call.trigger
    if not trigger.enabled:
        raise Conflict("This trigger is disabled. Its owner can enable it.")
    try:
        body = msgspec.json.decode(call.body) if call.body.strip() else {}
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise InputError("The body must be JSON.") from None
    try:
        compiled = fill(read_template(trigger), body)
    except FieldsMissing as missing:
        paths = ", ".join(missing.paths)
        raise FieldsAbsent(f"The body lacks {paths}, which the trigger's job needs.", field=missing.paths[0]) from None
    except TooLong:
        raise InputError("The job's text would be longer than 200,000 characters with this body.") from None
    delivery_id, key = call.delivery_id, None
    if delivery_id is not None:
        key = Idempotency(f"POST /api/hooks/{trigger.id}", delivery_id, hashlib.sha256(call.body).hexdigest())
    return await submit_call(resources.core, resources.vault, call.tenant_id, trigger, compiled, idempotency=key)


def _is_authentic(call: Call, secret: str) -> bool:
    headers = {name.lower(): value for name, value in call.request.headers.items()}
    match call.trigger.auth:
        case "secret":
            scheme, _, bearer = headers.get("authorization", "").partition(" ")
            given = call.path_secret or (bearer.strip() if scheme.lower() == "bearer" else "")
            return hmac.compare_digest(given.encode(), secret.encode())
        case "github":
            right = "sha256=" + hmac.new(secret.encode(), call.body, hashlib.sha256).hexdigest()
            return hmac.compare_digest(headers.get("x-hub-signature-256", "").encode(), right.encode())
        case "standard_webhooks":
            try:
                verify(secret, headers, call.body, now=time.time())
            except NotVerified:
                return False
            return True


async def _note(
    resources: Resources, call: Call, *, status: int, code: str, detail: str | None = None, job_id: UUID | None = None
) -> None:
    """Note a call; that it can't be noted is no reason to refuse it."""
    try:
        delivery_id = call.delivery_id
    except InputError:
        delivery_id = None
    noted = {"status": status, "code": code, "detail": detail, "job_id": job_id, "delivery_id": delivery_id}
    noted |= {"address": client_address(call.request), "size_bytes": len(call.body)}
    try:
        async with tenant_tx(resources.core.pool, call.tenant_id) as db:
            await triggers.add_call(db, call.tenant_id, call.trigger.id, noted)
    except HeadraceError:
        log.warning("trigger_call_not_noted", trigger_id=str(call.trigger.id))


routes = Router("/hooks", route_handlers=[call_trigger, call_trigger_by_path], tags=["triggers"])
