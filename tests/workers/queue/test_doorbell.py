"""The doorbell is the message that Celery itself would send."""

import base64
import json
from typing import Any

import redis

from schema.ids import new_id
from schema.job_kinds import KINDS
from workers.celery.app import build_app
from workers.queue.doorbell import MAX_QUEUED, Doorbell, envelope, ring
from workers.queue.job_core import JobCore


def doorbell() -> Doorbell:
    return Doorbell(new_id(), new_id(), "chat", 3, "headrace:inbox:a")


def sent_by_celery(redis_url: str, bell: Doorbell) -> dict[str, Any]:
    app = build_app(redis_url)
    args = [str(bell.tenant_id), str(bell.job_id), bell.dispatch_seq, bell.inbox]
    app.send_task(KINDS["chat"].task, args, task_id=str(bell.job_id), queue="chat", ignore_result=True)
    app.pool.force_close_all()
    app.close()
    with redis.Redis.from_url(redis_url) as client:
        return json.loads(client.rpop("chat"))


def shape(message: dict[str, Any]) -> dict[str, Any]:
    """The message without what differs by its nature, or on purpose (what Flower shows as the arguments)."""
    headers = {name: value for name, value in message["headers"].items() if name not in ("origin", "argsrepr")}
    properties = {k: value for k, value in message["properties"].items() if k not in ("delivery_tag", "reply_to")}
    body = json.loads(base64.b64decode(message["body"]))
    return {**message, "headers": headers, "properties": properties, "body": body}


def test_it_is_celerys_envelope_field_by_field(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.delete("chat")
    bell = doorbell()
    assert shape(sent_by_celery(redis_url, bell)) == shape(json.loads(envelope(bell)))


def test_it_carries_ids_and_nothing_else() -> None:
    bell = doorbell()
    args, kwargs, _ = json.loads(base64.b64decode(json.loads(envelope(bell))["body"]))
    assert ([str(bell.tenant_id), str(bell.job_id), 3, "headrace:inbox:a"], {}) == (args, kwargs)


async def test_a_queue_holds_a_bounded_number(core: JobCore, redis_url: str) -> None:
    bells = [doorbell() for _ in range(MAX_QUEUED + 10)]
    assert await ring(core.redis, bells)
    with redis.Redis.from_url(redis_url) as client:
        oldest = json.loads(client.rpop("chat"))
        assert MAX_QUEUED - 1 == client.llen("chat")
        client.delete("chat")
    assert str(bells[10].job_id) == oldest["headers"]["id"]
