"""What a holder of the route matrix has of webhooks, triggers and widgets (`two_tenants.py`)."""

from collections.abc import Callable
from typing import Any

from schema.identity.public_keys import NO_DIGEST, new_public_find
from schema.ids import new_id
from tests.secret import VAULT
from workers.webhooks.secrets import EndpointSecrets, seal_secrets
from workers.webhooks.signing import new_secret

NOWHERE = "http://127.0.0.1:9/v1"
Row = dict[str, Any]


def webhook_endpoint(holder: Any) -> str:
    endpoint_id = new_id()
    secrets = EndpointSecrets(new_secret(), headers={"X-Of": holder.marker})
    sealed = seal_secrets(VAULT, secrets, holder.tenant_id, endpoint_id)
    about: Row = {"description": holder.marker, "key_id": sealed.key_id, "sealed": sealed.sealed}
    holder.insert("webhook_endpoints", id=endpoint_id, url=f"{NOWHERE}/{holder.marker}", events=["job.*"], **about)
    return str(endpoint_id)


def delivery(holder: Any) -> str:
    delivery_id, endpoint_id = new_id(), webhook_endpoint(holder)
    about: Row = {"type": "job.failed", "sequence": 1, "data": {"of": holder.marker}, "state": "exhausted"}
    holder.insert("webhook_deliveries", id=delivery_id, event_id=new_id(), endpoint_id=endpoint_id, lane="x", **about)
    attempt: Row = {"attempt": 1, "duration_ms": 1, "response": holder.marker}
    holder.insert("webhook_attempts", delivery_id=delivery_id, **attempt)
    return str(delivery_id)


def trigger(holder: Any) -> str:
    trigger_id, user_id = new_id(), holder.user_id or holder.user("owner")
    sealed = VAULT.seal(holder.marker, tenant_id=holder.tenant_id, owner_id=trigger_id)
    job: Row = {"kind": "chat", "message": holder.marker}
    compiled: Row = {
        "kind": "chat",
        "right": "chat",
        "rights": ["chat"],
        "payload": {},
        "model": "x/y",
        "models": [],
    }
    about: Row = {
        "name": holder.marker,
        "created_by": f"user:{user_id}",
        "issuer": "x",
        "kind": "chat",
        "auth": "secret",
    }
    about |= {"job": job, "compiled": compiled, "key_id": sealed.key_id, "sealed": sealed.sealed}
    holder.insert("triggers", id=trigger_id, user_id=user_id, calls_per_minute=60, **about)
    holder.insert("trigger_calls", id=new_id(), trigger_id=trigger_id, status=404, code=holder.marker, size_bytes=1)
    return str(trigger_id)


def widget(holder: Any) -> str:
    widget_id = new_id()
    settings: Row = {"agent": holder.marker, "origins": ["https://a.example"], "title": holder.marker}
    settings |= {"greeting": holder.marker, "messages_per_minute": 30}
    about: Row = {"find": new_public_find(), "digest": NO_DIGEST, "name": holder.marker, "scopes": ["chat"]}
    holder.insert("api_keys", id=widget_id, widget=settings, **about)
    session: Row = {"title": holder.marker, "widget_id": widget_id, "visit_digest": "x"}
    holder.insert("sessions", id=new_id(), **session)
    return str(widget_id)


KINDS: dict[str, Callable[[Any], str]] = {
    "webhook endpoint": webhook_endpoint,
    "delivery": delivery,
    "trigger": trigger,
    "widget": widget,
}
