"""Routes of deliveries: what was sent, when, and how that ended; and sending again."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, Router, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter

from api.audit.log import record
from api.auth.principals import MayManageWebhooks
from api.http.errors import problems
from api.http.paging import Cursor, Limit, read_cursor, write_cursor
from api.http.query_params import Since, Until, default_to_utc, parse_time
from api.http.rows import from_row
from api.openapi.operations import described
from api.resources import AppResources
from api.webhooks.delivery_rows import delivery_out, held_fields, waits
from api.webhooks.schemas import (
    ATTEMPT_EXAMPLE,
    DELIVERY_EXAMPLE,
    DeliveriesOut,
    DeliveryAttemptOut,
    DeliveryDetailOut,
    DeliveryOut,
    RedeliveredOut,
    RedeliveryIn,
)
from api.webhooks.targets import check_delivered_type
from schema.errors import Conflict, InputError, NotFound
from schema.queries.pages import LAST_ID
from schema.queries.webhooks import deliveries
from schema.queries.webhooks.deliveries import DeliveryFilter
from schema.webhooks import DeliveryState
from workers.queue.dispatch import wake_deliverers
from workers.webhooks.holds import read_holds
from workers.webhooks.payload import message_name

DELIVERY_PATH = "/{delivery_id:uuid}"
DeliveryId = Annotated[UUID, PathParameter(description="Id of the delivery.")]
NO_DELIVERY = "Your tenant has no such delivery. GET /api/webhooks/deliveries lists its deliveries."


@get(
    "/",
    opt=described(response={"items": [DELIVERY_EXAMPLE], "next_cursor": None}),
    summary="List webhook deliveries",
)
async def list_webhook_deliveries(
    principal: MayManageWebhooks,
    resources: AppResources,
    endpoint_id: Annotated[UUID | None, QueryParameter(description="Only those of this endpoint.")] = None,
    job_id: Annotated[UUID | None, QueryParameter(description="Only those about this job.")] = None,
    delivery_state: Annotated[
        DeliveryState | None, QueryParameter(name="state", description="Only those in this state.")
    ] = None,
    event_type: Annotated[
        str | None,
        QueryParameter(name="type", max_length=40, description="Only this type of event, such as `job.failed`."),
    ] = None,
    since: Since = None,
    until: Until = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> DeliveriesOut:
    """Lists what was sent, or waits to be, to endpoints and callbacks of your tenant, newest first. Deliveries that
    have ended are kept for 30 days, or as long as your tenant keeps anything."""
    before = read_cursor("webhook_deliveries", cursor, UUID) or LAST_ID
    if event_type is not None:
        check_delivered_type(event_type, "type")
    wanted = DeliveryFilter(
        endpoint_id=endpoint_id,
        job_id=job_id,
        states=delivery_state and [delivery_state],
        types=event_type and [event_type],
        since=parse_time(since, "since"),
        until=parse_time(until, "until"),
    )
    async with principal.tx(resources.core.pool) as db:
        rows = await deliveries.list_deliveries(db, principal.tenant_id, wanted, limit=limit + 1, before=before)
    holds = await read_holds(resources.core.redis, principal.tenant_id, [row.lane for row in rows if waits(row)])
    items = [delivery_out(row, holds) for row in rows[:limit]]
    return DeliveriesOut(items, write_cursor("webhook_deliveries", items[-1].id) if len(rows) > limit else None)


@get(
    DELIVERY_PATH,
    opt=described(response=DELIVERY_EXAMPLE | {"log": [ATTEMPT_EXAMPLE]}),
    responses=problems("not_found"),
    summary="Get a webhook delivery",
)
async def get_webhook_delivery(
    delivery_id: DeliveryId, principal: MayManageWebhooks, resources: AppResources
) -> DeliveryDetailOut:
    """Returns a delivery with its attempts: status, duration and the beginning of each answer."""
    async with principal.tx(resources.core.pool) as db:
        row = await deliveries.find_delivery(db, principal.tenant_id, delivery_id)
        attempts = await deliveries.list_attempts(db, principal.tenant_id, delivery_id)
    if row is None:
        raise NotFound(NO_DELIVERY)
    log = [from_row(DeliveryAttemptOut, attempt) for attempt in attempts]
    holds = await read_holds(resources.core.redis, principal.tenant_id, [row.lane] if waits(row) else [])
    return from_row(DeliveryDetailOut, row, webhook_id=message_name(row.event_id), log=log, **held_fields(row, holds))


@post(
    f"{DELIVERY_PATH}/redeliver",
    status_code=202,
    opt=described(response=DELIVERY_EXAMPLE),
    responses=problems(
        "not_found", conflict="This delivery is paused until its endpoint is enabled. Enable it, and it is sent."
    ),
    summary="Send a webhook delivery again",
)
async def redeliver_webhook(
    delivery_id: DeliveryId, principal: MayManageWebhooks, resources: AppResources
) -> Response[DeliveryOut]:
    """Sends a delivery again, now, with the same `webhook-id`, and from the beginning of the schedule. One that waits
    is sent at once."""
    async with principal.tx(resources.core.pool) as db:
        if await deliveries.redeliver(db, principal.tenant_id, [delivery_id]):
            await record(db, principal, principal.tenant_id, "webhook.redelivered", f"delivery:{delivery_id}")
        row = await deliveries.find_delivery(db, principal.tenant_id, delivery_id)
    if row is None:
        raise NotFound(NO_DELIVERY)
    if row.state == "paused":
        raise Conflict("This delivery is paused until its endpoint is enabled. Enable it, and it is sent.")
    resources.core.relay.changes.note(principal.tenant_id, "deliveries", delivery_id)
    await wake_deliverers(resources.core.redis)
    return Response(delivery_out(row, await read_holds(resources.core.redis, principal.tenant_id, [row.lane])))


@post(
    "/redeliver",
    status_code=202,
    opt=described(
        example={
            "endpoint_id": DELIVERY_EXAMPLE["endpoint_id"],
            "states": ["exhausted"],
            "since": "2026-03-01T00:00:00Z",
        },
        response={"redelivered": 12},
    ),
    responses=problems("not_found"),
    summary="Send webhook deliveries again",
)
async def redeliver_webhooks(
    data: JSONBody[RedeliveryIn], principal: MayManageWebhooks, resources: AppResources
) -> Response[RedeliveredOut]:
    """Sends all deliveries again that the fields find, by endpoint, job, state, type and time, each with its same
    `webhook-id`."""
    if data == RedeliveryIn():
        raise InputError(
            'Say which deliveries: at least one of endpoint_id, job_id, states, types, since and until, such as {"states": '
            '["exhausted"]}.',
            field="states",
        )
    for place, event in enumerate(data.types or ()):
        check_delivered_type(event, f"types[{place}]")
    wanted = msgspec.structs.asdict(data)
    for name in ("since", "until"):
        wanted[name] = wanted[name] and default_to_utc(wanted[name])
    async with principal.tx(resources.core.pool) as db:
        if data.endpoint_id is not None and not await deliveries.has_endpoint(
            db, principal.tenant_id, data.endpoint_id
        ):
            raise NotFound("Your tenant has no such webhook endpoint. GET /api/webhooks lists its endpoints.")
        count = await deliveries.redeliver_matching(db, principal.tenant_id, DeliveryFilter(**wanted))
        target = f"webhook:{data.endpoint_id}" if data.endpoint_id else ""
        await record(db, principal, principal.tenant_id, "webhook.redelivered", target, {"deliveries": count})
    await wake_deliverers(resources.core.redis)
    return Response(RedeliveredOut(redelivered=count))


routes = Router(
    "/webhooks/deliveries",
    route_handlers=[list_webhook_deliveries, get_webhook_delivery, redeliver_webhook, redeliver_webhooks],
    tags=["webhooks"],
)
