"""Starts one worker process: `python -m workers ROLE`, where a role is a queue, `scheduler` or `flower`. Only this
module reads the environment."""

import asyncio
import logging
import os
import signal
import socket
import sys
import warnings
from functools import partial
from typing import Any

import structlog
from dotenv import load_dotenv

from schema.errors import ClusterRefused, LoginRefused, MetricsPortTaken
from schema.installation.settings_check import SettingsInvalid, require_valid
from schema.job_kinds import QUEUES
from schema.metrics.process import start_metrics
from schema.postgres.logins import ROLES as ROLES_OF_POSTGRES
from schema.postgres.logins import check_login
from schema.tracing.process import start_tracing
from tools.langchain.listing import list_langchain_tools
from workers.logs import configure_logging, log_uncaught
from workers.process_limits import disable_core_dumps, keep_files_private, raise_file_limit, relax_garbage_collection
from workers.redis.cluster import refuse_cluster
from workers.settings import WorkerSettings, settings_from

log = structlog.get_logger()

ROLES = (*QUEUES, "scheduler", "flower")


def main(role: str) -> int:
    """Run the process until it is told to stop; return its exit status."""
    load_dotenv()
    disable_core_dumps()
    keep_files_private()
    try:
        require_valid(os.environ, settings_from)
        settings = settings_from(os.environ)
        if role != "flower":
            check_logins(settings)
        refuse_cluster(settings.redis_url)
        start_metrics(settings.metrics, settings.redis_url, role, os.environ)
    except (SettingsInvalid, LoginRefused, ClusterRefused, MetricsPortTaken) as error:
        print(error.message, file=sys.stderr)
        return 2
    configure_logging(role, style=settings.logs, level=settings.log_level)
    log_uncaught()
    raise_file_limit()
    if role == "flower":
        return _run_flower(settings)
    stop_tracing = start_tracing(settings.tracing, role)
    try:
        if role == "scheduler":
            return _run_scheduler(settings)
        list_langchain_tools(os.environ)
        return _run_worker(settings, role)
    finally:
        stop_tracing()


def check_logins(settings: WorkerSettings) -> None:
    """Raise LoginRefused if a user of Postgres is not what it must be."""
    for name in ROLES_OF_POSTGRES:
        check_login(settings.role_database_url(name), name)


def _run_worker(settings: WorkerSettings, queue: str) -> int:
    from celery import signals

    from workers.celery.app import build_app
    from workers.celery.consumer import FlushEvents
    from workers.celery.pool import AsyncPool
    from workers.context import open_worker_context

    # Celery's thread shares the interpreter with the event loop; with Python's default of 5 ms, tokens wait for it.
    sys.setswitchinterval(0.0005)
    signals.setup_logging.connect(_keep_logging)  # with a receiver, Celery does not configure logging itself
    signals.worker_ready.connect(_on_ready)
    for name in ("celery.app.trace", "celery.worker.strategy", "celery.worker.consumer.connection"):
        logging.getLogger(name).setLevel(
            logging.WARNING
        )  # one line per message, which the events of jobs make redundant
    warnings.filterwarnings("ignore", message=".*superuser privileges.*")
    concurrency = settings.queue_concurrency(queue)
    # Any: the types of an application know neither steps nor attributes of ours.
    app: Any = build_app(
        settings.redis_url, settings.broker_url, concurrency=concurrency, task_events=settings.task_events
    )
    app.steps["consumer"].add(FlushEvents)
    node = f"{queue}-{os.getpid()}@{socket.gethostname()}"  # a host may have several
    app.open_worker_context = partial(open_worker_context, settings, queue, node)
    worker = app.Worker(
        hostname=node,
        queues=[queue],
        pool=AsyncPool,
        concurrency=concurrency,
        task_events=settings.task_events,
        without_mingle=True,
        without_gossip=True,
        quiet=True,
    )
    worker.start()
    return worker.exitcode or 0


def _keep_logging(**_: object) -> None:
    """Do nothing: logging is configured already."""


def _on_ready(**_: object) -> None:
    relax_garbage_collection()
    log.info("worker_ready", pid=os.getpid())


def _run_scheduler(settings: WorkerSettings) -> int:
    import uvloop

    uvloop.run(_schedule_until_stopped(settings))
    return 0


async def _schedule_until_stopped(settings: WorkerSettings) -> None:
    from workers.scheduler import Scheduler

    async with Scheduler(settings) as scheduler:
        task = asyncio.create_task(scheduler.run())
        log.info("scheduler_ready", pid=os.getpid())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        await _until_cancelled(task)


async def _until_cancelled(task: "asyncio.Task[None]") -> None:
    try:
        await task
    except asyncio.CancelledError:
        return


def _run_flower(settings: WorkerSettings) -> int:
    from workers.celery.app import build_app
    from workers.celery.flower import is_loopback, is_port_free, start_flower

    if not settings.flower_sign_in and not is_loopback(settings.flower_host):
        where = f"HEADRACE_FLOWER_HOST={settings.flower_host} is open to others than this machine"
        print(f"{where}. Set HEADRACE_FLOWER_SIGN_IN=name:password, which Flower will ask for.", file=sys.stderr)
        return 2
    if not is_port_free(settings.flower_host, settings.flower_port):
        where = f"HEADRACE_FLOWER_PORT={settings.flower_port} is in use at {settings.flower_host}"
        print(f"{where}. Stop the other program, or set HEADRACE_FLOWER_PORT to another port.", file=sys.stderr)
        return 2
    app = build_app(settings.redis_url, settings.broker_url, task_events=settings.task_events, tasks=False)
    logging.getLogger("flower.command").setLevel(logging.WARNING)
    try:
        host, port = settings.flower_host, str(settings.flower_port)
        start_flower(app, host=host, port=port, sign_in=settings.flower_sign_in)
    except (SystemExit, KeyboardInterrupt):
        log.info("flower_stopped", pid=os.getpid())
    # Its threads wait for replies of workers that have stopped, and a normal exit would wait for those threads.
    os._exit(0)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ROLES:
        print(f"usage: python -m workers {' | '.join(ROLES)}", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1]))
