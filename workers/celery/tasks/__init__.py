"""The Celery tasks, one file per kind of job. A task is two lines: everything else is in `workers/queue/attempts.py`."""

from typing import Any

from workers.celery.tasks import chat, ingestion, pipelines


def register(app: Any) -> None:
    """Give every task to the application."""
    chat.register(app)
    pipelines.register(app)
    ingestion.register(app)
