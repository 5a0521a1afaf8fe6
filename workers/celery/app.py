"""The Celery application: its settings and the reasons for them. Measurements are in `DECISIONS.md`.

Messages are doorbells (`workers/queue/doorbell.py`): a lost one costs a few seconds, a duplicate does nothing. So the
broker needs no acknowledgements in Redis (`ack_emulation` is off). kombu 5.7 writes them in a second round trip, which
takes 0.3 ms a message, still loses messages if a worker is killed in between, and kills the whole worker if the
connection drops meanwhile. Late acknowledgement then happens in memory only, and keeps the prefetch equal to the number
of slots.
"""

from typing import Any

from celery import Celery
from kombu.entity import Queue

from schema.job_kinds import QUEUES
from workers.celery.broker import CONNECT_TIMEOUT_S, broker_settings


def build_app(
    redis_url: str,
    broker_url: str | None = None,
    *,
    concurrency: int = 300,
    task_events: bool = True,
    tasks: bool = True,
) -> Celery:
    """Return the application, which is not connected yet; without `tasks` for who only watches: they bring LangGraph along.
    `broker_url` is the RabbitMQ that is used instead of Redis."""
    app = Celery("headrace", set_as_current=True)
    app.conf.update(celery_settings(concurrency, task_events=task_events))
    app.conf.update(broker_settings(redis_url, broker_url))
    if tasks:
        from workers.celery.tasks import register

        register(app)
    return app


def celery_settings(concurrency: int, *, task_events: bool) -> dict[str, Any]:
    """Return the settings of all Celery processes, including Flower, that are not about the broker (`broker.py`)."""
    return {
        # No results: the result is in the job's row. Nothing is pickled, and nothing leaks.
        "result_backend": None,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_serializer": "json",
        "accept_content": ["json"],
        # Only known queues.
        "task_default_queue": QUEUES[0],
        "task_queues": [Queue(name) for name in QUEUES],
        "task_create_missing_queues": False,
        # Prefetch as many as there are slots, and no more.
        "task_acks_late": True,
        "worker_prefetch_multiplier": 1,
        "worker_concurrency": concurrency,
        # For Flower: names, states, times. Arguments are ids.
        "worker_send_task_events": task_events,
        "worker_consumer": "workers.celery.consumer:QuietConsumer",
        "task_send_sent_event": False,
        "event_queue_ttl": 5.0,
        # Jobs are in Postgres, so they survive the loss of a connection to the broker.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,  # a Redis that is demoted or full answers with errors: wait, don't end
        "broker_connection_timeout": CONNECT_TIMEOUT_S,
        "broker_pool_limit": 64,  # Flower sends many requests to every worker at once, and deadlocks with few connections
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_enable_remote_control": True,
    }
