"""Celery: the application, its asyncio pool, its consumer and the tasks."""
