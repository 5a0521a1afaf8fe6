"""Routes of triggers for those who manage them: create, list, get, replace, delete, rotate the secret, last calls."""

import re
import secrets
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response, Router, delete, get, post, put
from litestar.datastructures import Headers
from litestar.params import JSONBody, PathParameter

from api.audit.log import record
from api.auth.principals import MayManageTriggers, Principal
from api.grants.tenant_rows import changing_own_tenant
from api.http.errors import problems
from api.http.paging import Cursor, Limit, read_cursor, write_cursor
from api.http.rows import from_row
from api.openapi.headers import LOCATION_HEADER
from api.openapi.operations import described
from api.resources import AppResources, Resources
from api.schedules.compile import compile_job
from api.schedules.schemas import IngestionJobIn
from api.triggers.schemas import (
    CALL_EXAMPLE,
    MAX_TRIGGERS,
    TRIGGER_EXAMPLE,
    TRIGGER_IN_EXAMPLE,
    TriggerCallOut,
    TriggerCallsOut,
    TriggerCreatedOut,
    TriggerIn,
    TriggerOut,
    TriggerSecretOut,
    TriggersOut,
)
from api.webhooks.callbacks import callback_of_body
from api.webhooks.targets import check_secret
from schema.errors import Conflict, InputError, NotFound
from schema.ids import new_id
from schema.queries.triggers import triggers
from schema.triggers import TriggerAuth
from workers.triggers.filling import paths_in, texts_of
from workers.webhooks.signing import new_secret

TRIGGER_PATH = "/{trigger_id:uuid}"
TriggerId = Annotated[UUID, PathParameter(description="Id of the trigger.")]
NO_TRIGGER = "Your tenant has no such trigger. GET /api/triggers lists its triggers."
NO_STORE = {"Cache-Control": "no-store"}
UNKNOWN = ("model_unknown", "agent_unknown", "not_found", "egress_refused")
OWN_SECRET = re.compile(r"[\x21-\x7e]{24,200}")


@post(
    "/",
    status_code=201,
    opt=described(
        response_headers=LOCATION_HEADER, example=TRIGGER_IN_EXAMPLE, response=TRIGGER_EXAMPLE | {"secret": "hrt_…"}
    ),
    responses=problems("conflict", *UNKNOWN),
    summary="Create a trigger",
)
async def create_trigger(
    data: JSONBody[TriggerIn], principal: MayManageTriggers, resources: AppResources
) -> Response[TriggerCreatedOut]:
    """Makes an address, `POST /api/hooks/{trigger_id}`, whose calls start this job, in your name and with no more than your
    rights. The response has the secret that callers need, and is the only one that does."""
    trigger_id, secret = new_id(), _secret(data.auth, data.secret)
    sealed = resources.vault.seal(secret, tenant_id=principal.tenant_id, owner_id=trigger_id)
    values = await _columns(resources, principal, data, trigger_id)
    values |= {"key_id": sealed.key_id, "sealed": sealed.sealed}
    async with changing_own_tenant(resources, principal) as db:
        row = await triggers.add_trigger(db, principal.tenant_id, values, most=MAX_TRIGGERS)
        if row is None:
            raise Conflict(f"Your tenant has {MAX_TRIGGERS} triggers, the maximum. Delete one first.")
        await record(
            db, principal, principal.tenant_id, "trigger.created", f"trigger:{trigger_id}", {"auth": data.auth}
        )
    out = from_row(TriggerCreatedOut, row, url=_path(row.id), secret=secret)
    return Response(out, headers={"Location": f"/api/triggers/{trigger_id}", **NO_STORE})


@get("/", opt=described(response={"items": [TRIGGER_EXAMPLE], "next_cursor": None}), summary="List triggers")
async def list_triggers(
    principal: MayManageTriggers, resources: AppResources, cursor: Cursor = None, limit: Limit = 20
) -> TriggersOut:
    """Lists the triggers of your tenant, newest first."""
    before = read_cursor("triggers", cursor, UUID)
    async with principal.tx(resources.core.pool) as db:
        rows = await triggers.list_triggers(db, principal.tenant_id, limit=limit + 1, before=before)
    items = [_out(row) for row in rows[:limit]]
    return TriggersOut(items, write_cursor("triggers", items[-1].id) if len(rows) > limit else None)


@get(TRIGGER_PATH, opt=described(response=TRIGGER_EXAMPLE), responses=problems("not_found"), summary="Get a trigger")
async def get_trigger(trigger_id: TriggerId, principal: MayManageTriggers, resources: AppResources) -> TriggerOut:
    """Returns a trigger without its secret."""
    async with principal.tx(resources.core.pool) as db:
        return _out(_found(await triggers.find_trigger(db, principal.tenant_id, trigger_id)))


@put(
    TRIGGER_PATH,
    opt=described(example=TRIGGER_IN_EXAMPLE, response=TRIGGER_EXAMPLE),
    responses=problems(*UNKNOWN),
    summary="Update a trigger",
)
async def update_trigger(
    trigger_id: TriggerId, data: JSONBody[TriggerIn], principal: MayManageTriggers, resources: AppResources
) -> TriggerOut:
    """Replaces what it does; from then on its jobs run in your name. The secret stays, and `auth` can't be changed."""
    async with principal.tx(resources.core.pool) as db:
        before = _found(await triggers.find_trigger(db, principal.tenant_id, trigger_id))
    if data.secret is not None:
        raise InputError("secret can't be sent here. POST …/rotate-secret makes a new one.", field="secret")
    if data.auth != before.auth:
        raise InputError(f"auth can't be changed: it is {before.auth}. Create another trigger.", field="auth")
    values = await _columns(resources, principal, data, trigger_id)
    async with principal.tx(resources.core.pool) as db:
        row = _found(await triggers.change_trigger(db, principal.tenant_id, values))
        await record(db, principal, principal.tenant_id, "trigger.changed", f"trigger:{trigger_id}")
    return _out(row)


@delete(TRIGGER_PATH, responses=problems("not_found"), summary="Delete a trigger")
async def delete_trigger(trigger_id: TriggerId, principal: MayManageTriggers, resources: AppResources) -> None:
    """Its address answers 404 from then on. Jobs that it started go on."""
    async with principal.tx(resources.core.pool) as db:
        if not await triggers.delete_trigger(db, principal.tenant_id, trigger_id):
            raise NotFound(NO_TRIGGER)
        await record(db, principal, principal.tenant_id, "trigger.deleted", f"trigger:{trigger_id}")


@post(
    f"{TRIGGER_PATH}/rotate-secret",
    status_code=200,
    opt=described(response={"secret": "hrt_…"}),
    responses=problems("not_found"),
    summary="Rotate a trigger's secret",
)
async def rotate_trigger_secret(
    trigger_id: TriggerId, principal: MayManageTriggers, resources: AppResources
) -> Response[TriggerSecretOut]:
    """Makes a new secret. The former one is refused at once."""
    async with principal.tx(resources.core.pool) as db:
        row = _found(await triggers.find_trigger(db, principal.tenant_id, trigger_id))
        secret = _secret(row.auth, None)
        sealed = resources.vault.seal(secret, tenant_id=principal.tenant_id, owner_id=trigger_id)
        if not await triggers.set_secret(db, principal.tenant_id, trigger_id, sealed):
            raise NotFound(NO_TRIGGER)
        await record(db, principal, principal.tenant_id, "trigger.secret_rotated", f"trigger:{trigger_id}")
    return Response(TriggerSecretOut(secret=secret), headers=NO_STORE)


@get(
    f"{TRIGGER_PATH}/calls",
    opt=described(response={"items": [CALL_EXAMPLE]}),
    responses=problems("not_found"),
    summary="List a trigger's calls",
)
async def list_trigger_calls(
    trigger_id: TriggerId, principal: MayManageTriggers, resources: AppResources
) -> TriggerCallsOut:
    """Returns the last 50 calls, also those that were refused, with the reason."""
    async with principal.tx(resources.core.pool) as db:
        _found(await triggers.find_trigger(db, principal.tenant_id, trigger_id))
        calls = await triggers.list_calls(db, principal.tenant_id, trigger_id)
    return TriggerCallsOut([from_row(TriggerCallOut, call) for call in calls])


async def _columns(resources: Resources, principal: Principal, data: TriggerIn, trigger_id: UUID) -> dict[str, Any]:
    """Return the columns to store, with the template worked out. Raises errors that name the field."""
    if isinstance(data.job, IngestionJobIn):
        _require_fixed(data.job)
    compiled = await compile_job(resources, principal, data.job)
    field = "job.message" if data.job.__struct_config__.tag == "chat" else "job.input"
    for text in texts_of(compiled):
        try:
            paths_in(text)
        except ValueError as error:
            raise InputError(f"{field} {error}.", field=field) from None
    callback = await callback_of_body(resources, principal, Headers(), data)
    return {
        "id": trigger_id,
        "name": data.name,
        "user_id": principal.user_id,
        "created_by": principal.actor,
        "issuer": resources.settings.issuer,
        "kind": str(data.job.__struct_config__.tag),
        "job": {name: value for name, value in msgspec.to_builtins(data.job).items() if name != "kind"}
        | {"kind": str(data.job.__struct_config__.tag)},
        "compiled": msgspec.to_builtins(msgspec.structs.replace(compiled, callback=callback)),
        "auth": data.auth,
        "calls_per_minute": data.calls_per_minute,
        "enabled": data.enabled,
    }


def _require_fixed(job: IngestionJobIn) -> None:
    """Raise InputError for addresses with values of a call: whoever calls doesn't choose what is fetched."""
    for place, url in enumerate(job.urls):
        if "{{" in url:
            field = f"job.urls[{place}]"
            raise InputError(
                f"{field} must be a fixed address: callers can't choose what is fetched. Name each address, without {{{{…}}}}.",
                field=field,
            )


def _secret(auth: TriggerAuth, chosen: str | None) -> str:
    """Return the secret that was chosen, or a new one. Raises InputError; quotes nothing of it."""
    if chosen is None:
        return new_secret() if auth == "standard_webhooks" else f"hrt_{secrets.token_urlsafe(32)}"
    if auth == "standard_webhooks":
        check_secret(chosen)
    elif not OWN_SECRET.fullmatch(chosen):
        raise InputError("secret must be 24 to 200 visible ASCII characters.", field="secret")
    return chosen


def _found(row: triggers.StoredTrigger | None) -> triggers.StoredTrigger:
    if row is None:
        raise NotFound(NO_TRIGGER)
    return row


def _path(trigger_id: UUID) -> str:
    return f"/api/hooks/{trigger_id}"


def _out(row: triggers.StoredTrigger) -> TriggerOut:
    return from_row(TriggerOut, row, url=_path(row.id))


routes = Router(
    "/triggers",
    route_handlers=[
        *(create_trigger, list_triggers, get_trigger, update_trigger, delete_trigger),
        *(rotate_trigger_secret, list_trigger_calls),
    ],
    tags=["triggers"],
)
