"""The Celery application: its settings, and why each is so; the figures behind them are in `DECISIONS.md`.

Messages are doorbells (`workers/queue/doorbell.py`): losing one costs a few seconds, running one twice does nothing.
So the broker needs no acknowledgements in Redis at all (`ack_emulation` off): kombu 5.7 writes them in a second
round trip that takes 0.3 ms a message, still loses messages when a worker is killed in between, and kills the whole
worker when the connection drops while one is open. Late acknowledgement, which then happens in memory only, keeps
the prefetch equal to the slots.
"""

from typing import Any

from celery import Celery
from kombu.entity import Queue

from schema.job_kinds import QUEUES


def build_app(redis_url: str, *, concurrency: int = 300, task_events: bool = True) -> Celery:
    """Return the application; it connects to nothing yet."""
    app = Celery("headrace", broker=redis_url, set_as_current=True)
    app.conf.update(celery_settings(concurrency, task_events=task_events))
    from workers.celery.tasks import register

    register(app)
    return app


def celery_settings(concurrency: int, *, task_events: bool) -> dict[str, Any]:
    """Return what all our Celery processes, Flower among them, agree on."""
    return {
        # No results: the row is the result. Nothing to pickle, nothing to leak.
        "result_backend": None,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_serializer": "json",
        "accept_content": ["json"],
        # One queue per kind; unknown queues are a mistake.
        "task_default_queue": QUEUES[0],
        "task_queues": [Queue(name) for name in QUEUES],
        "task_create_missing_queues": False,
        # Prefetch as many as there are slots, and no more.
        "task_acks_late": True,
        "worker_prefetch_multiplier": 1,
        "worker_concurrency": concurrency,
        # For Flower: names, states, times. Arguments are ids.
        "worker_send_task_events": task_events,
        "worker_consumer": "workers.celery.consumer:GatheringConsumer",
        "task_send_sent_event": False,
        "event_queue_ttl": 5.0,
        # Jobs outlive the broker's connection; they are in Postgres.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": 3,
        "broker_pool_limit": 64,  # Flower asks every worker many things at once; with few it waits for itself for ever
        "broker_transport_options": {
            "ack_emulation": False,
            "priority_steps": [0],  # one list per queue: priorities are Postgres' business
            "queue_order_strategy": "priority",
            "socket_keepalive": True,
            "socket_connect_timeout": 3,
            "health_check_interval": 10,
        },
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_enable_remote_control": True,
    }
