"""Routes of webhook endpoints: create, list, get, update, delete, test, rotate the secret; and the secret of callbacks."""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from litestar import Response, Router, delete, get, patch, post
from litestar.params import JSONBody, PathParameter
from msgspec import UNSET

from api.audit.log import record
from api.auth.principals import MayManageWebhooks, Principal
from api.grants.tenant_rows import changing_own_tenant
from api.http.errors import problems
from api.http.paging import Cursor, Limit, read_cursor, write_cursor
from api.http.query_params import EnabledFilter
from api.http.rows import from_row
from api.openapi.headers import LOCATION_HEADER
from api.openapi.operations import described
from api.resources import AppResources, Resources
from api.webhooks.deliveries import delivery_out
from api.webhooks.schemas import (
    CALLBACK_SECRET_EXAMPLE,
    DELIVERY_EXAMPLE,
    ENDPOINT_EXAMPLE,
    MAX_ENDPOINTS,
    NEW_ENDPOINT_EXAMPLE,
    SECRET_EXAMPLE,
    CallbackSecretOut,
    DeliveryOut,
    EndpointChangeIn,
    EndpointCreatedOut,
    EndpointIn,
    EndpointOut,
    EndpointsOut,
    SecretIn,
    SecretOut,
)
from api.webhooks.targets import check_events, check_headers, check_kinds, check_secret, check_url
from schema.errors import Conflict, NotFound
from schema.ids import new_id
from schema.queries.webhooks import endpoints
from schema.queries.webhooks.deliveries import find_delivery
from schema.queries.webhooks.outbox import add_test
from schema.webhooks import TEST_EVENT
from workers.queue.dispatch import wake_deliverers
from workers.webhooks.holds import Hold, read_holds
from workers.webhooks.secrets import EndpointSecrets, now_utc, open_secrets, seal_secrets
from workers.webhooks.signing import new_secret

ENDPOINT_PATH = "/{endpoint_id:uuid}"
EndpointId = Annotated[UUID, PathParameter(description="Id of the endpoint.")]
NO_ENDPOINT = "Your tenant has no such webhook endpoint. GET /api/webhooks lists its endpoints."
NO_STORE = {"Cache-Control": "no-store"}
COLUMNS = ("url", "description", "events", "kinds", "agents", "include", "enabled")


@post(
    "/",
    status_code=201,
    opt=described(
        response_headers=LOCATION_HEADER,
        example=NEW_ENDPOINT_EXAMPLE,
        response=ENDPOINT_EXAMPLE | {"secret": "whsec_…"},
    ),
    responses=problems(
        "egress_refused",
        conflict=f"Your tenant has {MAX_ENDPOINTS} webhook endpoints, the maximum. Delete one, or give one more events.",
    ),
    summary="Create a webhook endpoint",
)
async def create_webhook(
    data: JSONBody[EndpointIn], principal: MayManageWebhooks, resources: AppResources
) -> Response[EndpointCreatedOut]:
    """Events are posted to `url` as Standard Webhooks 1.0.0 says, and tried again for three days. The response has the
    secret that verifies them, and is the only one that does."""
    await _check(resources, principal, data)
    if data.secret is not None:
        check_secret(data.secret)
    endpoint_id, secrets = new_id(), EndpointSecrets(data.secret or new_secret(), headers=data.headers)
    columns = {name: getattr(data, name) for name in COLUMNS} | _seal(resources, principal, endpoint_id, secrets)
    async with changing_own_tenant(resources, principal) as db:
        if await endpoints.count_endpoints(db, principal.tenant_id) >= MAX_ENDPOINTS:
            raise Conflict(
                f"Your tenant has {MAX_ENDPOINTS} webhook endpoints, the maximum. Delete one, or give one more events."
            )
        row = await endpoints.add_endpoint(db, principal.tenant_id, endpoint_id, columns, created_by=principal.actor)
        await record(
            db, principal, principal.tenant_id, "webhook.created", f"webhook:{endpoint_id}", {"events": data.events}
        )
    out = from_row(EndpointCreatedOut, row, **_shown(secrets), secret=secrets.secret)
    return Response(out, headers={"Location": f"/api/webhooks/{endpoint_id}", **NO_STORE})


@get("/", opt=described(response={"items": [ENDPOINT_EXAMPLE], "next_cursor": None}), summary="List webhook endpoints")
async def list_webhooks(
    principal: MayManageWebhooks,
    resources: AppResources,
    enabled: EnabledFilter = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> EndpointsOut:
    """Lists the endpoints of your tenant, oldest first. `enabled=false` finds those that were switched off."""
    after = read_cursor("webhooks", cursor, UUID) or endpoints.BEGINNING
    async with principal.tx(resources.core.pool) as db:
        rows = await endpoints.list_endpoints(db, principal.tenant_id, limit=limit + 1, after=after, enabled=enabled)
    holds = await read_holds(resources.core.redis, principal.tenant_id, [str(row.id) for row in rows])
    items = [_endpoint_out(resources, principal, row, holds) for row in rows[:limit]]
    return EndpointsOut(items, write_cursor("webhooks", items[-1].id) if len(rows) > limit else None)


@get(
    ENDPOINT_PATH,
    opt=described(response=ENDPOINT_EXAMPLE),
    responses=problems("not_found"),
    summary="Get a webhook endpoint",
)
async def get_webhook(endpoint_id: EndpointId, principal: MayManageWebhooks, resources: AppResources) -> EndpointOut:
    """Returns an endpoint without its secret."""
    async with principal.tx(resources.core.pool) as db:
        row = await endpoints.find_endpoint(db, principal.tenant_id, endpoint_id)
    holds = await read_holds(resources.core.redis, principal.tenant_id, [str(endpoint_id)])
    return _endpoint_out(resources, principal, _found(row), holds)


@patch(
    ENDPOINT_PATH,
    opt=described(example={"enabled": True}, response=ENDPOINT_EXAMPLE),
    responses=problems("not_found", "egress_refused"),
    summary="Update a webhook endpoint",
)
async def update_webhook(
    endpoint_id: EndpointId, data: JSONBody[EndpointChangeIn], principal: MayManageWebhooks, resources: AppResources
) -> EndpointOut:
    """Changes the fields you send; the others keep their value, and `headers` are replaced as a whole. When `enabled` is
    set, what waited while the endpoint was off is sent."""
    sent = [field for field in data.__struct_fields__ if getattr(data, field) is not UNSET]
    await _check(resources, principal, data)
    async with principal.tx(resources.core.pool) as db:
        row = _found(await endpoints.lock_endpoint(db, principal.tenant_id, endpoint_id))
        columns: dict[str, Any] = {name: getattr(data, name) for name in sent if name != "headers"}
        if data.headers is not UNSET:
            secrets = _open(resources, principal, row).with_headers(data.headers)
            columns |= _seal(resources, principal, endpoint_id, secrets)
        if columns:
            row = _found(await endpoints.change_endpoint(db, principal.tenant_id, endpoint_id, columns))
            detail = {"fields": sorted(sent)}
            await record(db, principal, principal.tenant_id, "webhook.changed", f"webhook:{endpoint_id}", detail)
    if columns.get("enabled"):
        await wake_deliverers(resources.core.redis)
    holds = await read_holds(resources.core.redis, principal.tenant_id, [str(endpoint_id)])
    return _endpoint_out(resources, principal, row, holds)


@delete(ENDPOINT_PATH, responses=problems("not_found"), summary="Delete a webhook endpoint")
async def delete_webhook(endpoint_id: EndpointId, principal: MayManageWebhooks, resources: AppResources) -> None:
    """Deletes the endpoint with its deliveries, also those that wait."""
    async with principal.tx(resources.core.pool) as db:
        if not await endpoints.delete_endpoint(db, principal.tenant_id, endpoint_id):
            raise NotFound(NO_ENDPOINT)
        await record(db, principal, principal.tenant_id, "webhook.deleted", f"webhook:{endpoint_id}")


@post(
    f"{ENDPOINT_PATH}/test",
    status_code=202,
    opt=described(
        response=DELIVERY_EXAMPLE | {"type": TEST_EVENT, "job_id": None, "attempts": 0},
        response_headers={202: ("Location",)},
    ),
    responses=problems("not_found", conflict="The webhook endpoint is disabled. Enable it, then test it."),
    summary="Test a webhook endpoint",
)
async def test_webhook(
    endpoint_id: EndpointId, principal: MayManageWebhooks, resources: AppResources
) -> Response[DeliveryOut]:
    """Sends a message of the type `webhook.test`, as any other is sent, whatever events the endpoint has chosen. The
    delivery in `Location` shows how that ended."""
    delivery_id = new_id()
    async with principal.tx(resources.core.pool) as db:
        row = _found(await endpoints.find_endpoint(db, principal.tenant_id, endpoint_id))
        if not row.enabled:
            raise Conflict("The webhook endpoint is disabled. Enable it, then test it.")
        await add_test(db, principal.tenant_id, delivery_id, endpoint_id, TEST_EVENT)
        await record(db, principal, principal.tenant_id, "webhook.tested", f"webhook:{endpoint_id}")
        delivery = await find_delivery(db, principal.tenant_id, delivery_id)
    assert delivery is not None, "it was just added"
    await wake_deliverers(resources.core.redis)
    return Response(delivery_out(delivery, {}), headers={"Location": f"/api/webhooks/deliveries/{delivery_id}"})


@post(
    f"{ENDPOINT_PATH}/rotate-secret",
    status_code=200,
    opt=described(example={}, response=SECRET_EXAMPLE),
    responses=problems("not_found"),
    summary="Rotate an endpoint's secret",
)
async def rotate_webhook_secret(
    endpoint_id: EndpointId,
    principal: MayManageWebhooks,
    resources: AppResources,
    data: JSONBody[SecretIn | None] = None,
) -> Response[SecretOut]:
    """Makes a new secret, or takes yours. For 24 hours, messages are signed with both, so that the receiver can change at any
    time. Test the endpoint afterwards."""
    chosen = _chosen(data)
    async with principal.tx(resources.core.pool) as db:
        row = _found(await endpoints.lock_endpoint(db, principal.tenant_id, endpoint_id))
        secrets = _open(resources, principal, row).rotated(chosen)
        sealed = _seal(resources, principal, endpoint_id, secrets)
        await endpoints.change_endpoint(db, principal.tenant_id, endpoint_id, sealed)
        await record(db, principal, principal.tenant_id, "webhook.secret_rotated", f"webhook:{endpoint_id}")
    return Response(_secret_out(secrets), headers=NO_STORE)


@get("/secret", opt=described(response=CALLBACK_SECRET_EXAMPLE), summary="Get the callbacks' secret")
async def get_callback_secret(principal: MayManageWebhooks, resources: AppResources) -> CallbackSecretOut:
    """Returns when the secret that signs the callbacks of single jobs was made, but not the secret."""
    async with principal.tx(resources.core.pool) as db:
        row = await endpoints.find_callback_secret(db, principal.tenant_id)
    if row is None:
        return CallbackSecretOut(created_at=None, rotated_at=None, former_secret_until=None)
    secrets = open_secrets(resources.vault, row.secrets, principal.tenant_id, principal.tenant_id)
    return from_row(CallbackSecretOut, row, former_secret_until=secrets.former_until(now_utc()))


@post(
    "/secret/rotate",
    status_code=200,
    opt=described(example={}, response=SECRET_EXAMPLE),
    summary="Rotate the callbacks' secret",
)
async def rotate_callback_secret(
    principal: MayManageWebhooks, resources: AppResources, data: JSONBody[SecretIn | None] = None
) -> Response[SecretOut]:
    """Makes a new secret for the callbacks of single jobs (`callback_url`), or takes yours. Do this once before you use them:
    no other response has the secret. For 24 hours, the former one signs, too."""
    chosen = _chosen(data)
    async with changing_own_tenant(resources, principal) as db:
        row = await endpoints.find_callback_secret(db, principal.tenant_id)
        if row is None:
            secrets = EndpointSecrets(chosen or new_secret())
        else:
            before = open_secrets(resources.vault, row.secrets, principal.tenant_id, principal.tenant_id)
            secrets = before.rotated(chosen)
        sealed = seal_secrets(resources.vault, secrets, principal.tenant_id, principal.tenant_id)
        await endpoints.put_callback_secret(db, principal.tenant_id, sealed)
        await record(db, principal, principal.tenant_id, "webhook.secret_rotated", "callbacks")
    return Response(_secret_out(secrets), headers=NO_STORE)


async def _check(resources: Resources, principal: Principal, data: EndpointIn | EndpointChangeIn) -> None:
    """Raise InputError that names the field."""
    if data.events is not UNSET:
        check_events(data.events, "events")
    if data.kinds is not UNSET:
        check_kinds(data.kinds)
    if data.headers is not UNSET:
        check_headers(data.headers)
    if data.url is not UNSET:
        await check_url(resources, principal, data.url, "url")


def _chosen(data: SecretIn | None) -> str | None:
    if data is None or data.secret is None:
        return None
    check_secret(data.secret)
    return data.secret


def _found(row: endpoints.StoredEndpoint | None) -> endpoints.StoredEndpoint:
    if row is None:
        raise NotFound(NO_ENDPOINT)
    return row


def _open(resources: Resources, principal: Principal, row: endpoints.StoredEndpoint) -> EndpointSecrets:
    return open_secrets(resources.vault, row.secrets, principal.tenant_id, row.id)


def _seal(resources: Resources, principal: Principal, endpoint_id: UUID, secrets: EndpointSecrets) -> dict[str, Any]:
    sealed = seal_secrets(resources.vault, secrets, principal.tenant_id, endpoint_id)
    return {"key_id": sealed.key_id, "sealed": sealed.sealed}


def _shown(secrets: EndpointSecrets) -> dict[str, Any]:
    """What may be shown of what is sealed."""
    return {"headers": sorted(secrets.headers), "former_secret_until": secrets.former_until(now_utc())}


def _endpoint_out(
    resources: Resources, principal: Principal, row: endpoints.StoredEndpoint, holds: Mapping[str, Hold]
) -> EndpointOut:
    hold = holds.get(str(row.id))
    held = {"held_until": hold and hold.until, "held_for": hold and hold.why}
    return from_row(EndpointOut, row, **_shown(_open(resources, principal, row)), **held)


def _secret_out(secrets: EndpointSecrets) -> SecretOut:
    return SecretOut(secret=secrets.secret, former_secret_until=secrets.former_until(now_utc()))


routes = Router(
    "/webhooks",
    route_handlers=[
        *(create_webhook, list_webhooks, get_webhook, update_webhook, delete_webhook),
        *(test_webhook, rotate_webhook_secret, get_callback_secret, rotate_callback_secret),
    ],
    tags=["webhooks"],
)
