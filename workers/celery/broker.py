"""What Celery and kombu are told of Redis, or of RabbitMQ: its URL, and how they connect to it.

With sentinels, kombu's transport asks them for the master at each connect. It asks one after the other; one that is away
must not hold it up.
"""

import socket
from typing import Any
from urllib.parse import quote

from kombu.entity import Exchange, Queue
from redis.backoff import NoBackoff
from redis.retry import Retry

from schema.job_kinds import QUEUES
from workers.amqp.address import HEARTBEAT_S, QUEUE_ARGUMENTS, celery_tls
from workers.redis.address import RedisAddress, Sentinels

CONNECT_TIMEOUT_S = 3
ASK_TIMEOUT_S = 1.0


def broker_settings(redis_url: str, broker_url: str | None = None) -> dict[str, Any]:
    """Return the settings of Celery that are about its broker: Redis, or the RabbitMQ of `broker_url`."""
    if broker_url is not None:
        return _amqp_settings(broker_url)
    address = RedisAddress.from_url(redis_url)
    if address.sentinels is None:
        return {"broker_url": redis_url, "broker_transport_options": TRANSPORT_OPTIONS}
    own: dict[str, Any] = {
        "broker_url": _kombu_url(address, address.sentinels),
        "broker_transport_options": {
            **TRANSPORT_OPTIONS,
            "master_name": address.sentinels.master_name,
            "sentinel_kwargs": _of_sentinels(address, address.sentinels),
        },
    }
    if address.tls:
        own["broker_use_ssl"] = {"ssl_cert_reqs": "required"}
    return own


KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 15_000}
"""How soon a connection to a broker that is out of reach is given up, whether it is idle or waits for an answer. Linux would
try for a quarter of an hour, and a worker that is told to stop says goodbye over it."""

TRANSPORT_OPTIONS: dict[str, Any] = {
    "ack_emulation": False,
    "priority_steps": [0],  # one list per queue; Postgres decides priorities
    "queue_order_strategy": "priority",
    "socket_keepalive": True,
    "socket_keepalive_options": {
        getattr(socket, name): value for name, value in KEEPALIVE.items() if hasattr(socket, name)
    },
    "socket_connect_timeout": CONNECT_TIMEOUT_S,
    "health_check_interval": 10,
}


def _kombu_url(address: RedisAddress, sentinels: Sentinels) -> str:
    """Return the URL as kombu spells it: one for each sentinel, all with user, password and database of Redis."""
    as_whom = f"{quote(address.username, safe='')}:{quote(address.password, safe='')}@" if address.password else ""
    hosts = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in sentinels.hosts)
    return ";".join(f"sentinel://{as_whom}{host}/{address.db}" for host in hosts)


def _of_sentinels(address: RedisAddress, sentinels: Sentinels) -> dict[str, Any]:
    """Return how redis-py connects to a sentinel. Its default would try one that is away four times, in up to seven seconds."""
    return {
        "username": sentinels.username or None,
        "password": sentinels.password or None,
        "socket_connect_timeout": ASK_TIMEOUT_S,
        "socket_timeout": ASK_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
        "ssl": address.tls,
    }


def _amqp_settings(broker_url: str) -> dict[str, Any]:
    """Return what is different with RabbitMQ, where nothing is emulated: acknowledgements and prefetch are the protocol's, and
    the queues must be declared as those who ring declare them."""
    queues = [Queue(name, Exchange(name), routing_key=name, queue_arguments=QUEUE_ARGUMENTS) for name in QUEUES]
    return {
        "broker_url": broker_url,
        "broker_transport_options": {},
        "broker_heartbeat": HEARTBEAT_S,
        "broker_use_ssl": celery_tls(broker_url),
        "task_queues": queues,
        "worker_consumer": "workers.celery.consumer:AmqpConsumer",
    }
