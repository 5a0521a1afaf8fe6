"""Deliveries as they are shown, with what holds them up."""

from collections.abc import Mapping
from typing import Any

from api.http.rows import from_row
from api.webhooks.schemas import DeliveryOut
from schema.queries.webhooks.deliveries import StoredDelivery
from workers.webhooks.holds import Hold
from workers.webhooks.payload import message_name


def delivery_out(row: StoredDelivery, holds: Mapping[str, Hold]) -> DeliveryOut:
    """Return a delivery as it is shown."""
    return from_row(DeliveryOut, row, webhook_id=message_name(row.event_id), **held_fields(row, holds))


def waits(row: StoredDelivery) -> bool:
    """Whether a delivery is yet to be sent."""
    return row.state == "pending"


def held_fields(row: StoredDelivery, holds: Mapping[str, Hold]) -> dict[str, Any]:
    """Return until when, and why, nothing is sent to a delivery's receiver."""
    hold = holds.get(row.lane) if waits(row) else None
    return {"held_until": hold and hold.until, "held_for": hold and hold.why}
