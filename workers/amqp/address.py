"""How RabbitMQ is named and what its queues are like. All processes must agree on both.

A doorbell is a hint, and the scheduler rings again: so a queue holds a bounded number of them and drops the oldest, and none is
written to the disk. A queue that somebody declared otherwise is refused by RabbitMQ, and so by our processes.
"""

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

SETTING = "HEADRACE_BROKER_URL"
EXAMPLE = "amqp://user:password@127.0.0.1:5672/"
DEFAULT_PORTS = {"amqp": 5672, "amqps": 5671}
CONNECT_S = 3.0
HEARTBEAT_S = 10

QUEUE_ARGUMENTS: dict[str, Any] = {
    "x-queue-type": "classic",  # a quorum queue would have several disks wait for what may be lost
    "x-max-length": 4096,
    "x-overflow": "drop-head",
    # A doorbell is acknowledged when its job has ended, and RabbitMQ closes the channel of who takes longer: by default after
    # half an hour. Versions before 3.12 don't know this argument; there the doorbells that are out come again, and are stale.
    "x-consumer-timeout": 26 * 3600 * 1000,
}
"""With these both sides declare each queue."""


def broker_url(env: Mapping[str, str]) -> str | None:
    """Return the setting, None where doorbells go over Redis. Raises ValueError, which quotes nothing: it holds a password."""
    text = env.get(SETTING, "").strip()
    if not text:
        return None
    for url in split(text):
        scheme = url.partition("://")[0]
        if scheme not in DEFAULT_PORTS:
            raise ValueError(
                f"{SETTING} must be a URL of RabbitMQ, such as {EXAMPLE}; several nodes of a cluster are separated by ';'. "
                "Without it, doorbells go over HEADRACE_REDIS_URL; other brokers are not supported."
            )
        if not _is_address(url):
            raise ValueError(f"{SETTING} is no URL of RabbitMQ; it looks like {EXAMPLE}.")
        if "?" in url:
            raise ValueError(f"{SETTING} has parameters after a question mark. It takes none; it looks like {EXAMPLE}.")
    if len(split(text)) > 1 and "amqps://" in text:
        raise ValueError(
            f"{SETTING} names several nodes with amqps://. Name one address that leads to all of them: Celery would check each "
            "certificate for the first one's name."
        )
    return text


def split(url: str) -> list[str]:
    """Return the addresses of a cluster's nodes."""
    return [part.strip() for part in url.split(";") if part.strip()]


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def place(url: str) -> tuple[str, int]:
    """Return host and port of one node."""
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or DEFAULT_PORTS[parts.scheme]


def tls_context(url: str) -> ssl.SSLContext | None:
    """Return what checks the certificate, as for Redis (`SSL_CERT_FILE` names private authorities); None without TLS."""
    return ssl.create_default_context() if url.startswith("amqps://") else None


def celery_tls(url: str) -> dict[str, Any] | None:
    """Return the same for Celery, whose own default checks nothing."""
    if not url.startswith("amqps://"):
        return None
    return {"context": {"check_hostname": True}, "server_hostname": place(url)[0]}
