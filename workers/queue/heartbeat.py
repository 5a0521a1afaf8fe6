"""The heartbeat: a thread that renews the leases of all jobs that run in this process.

It is a thread so that jobs don't lose their leases while the event loop is busy. One statement renews them all, and
returns which were lost and which are to be cancelled. If the event loop has been blocked for a minute, the heartbeat
stops, so that another worker may take over the jobs.

It is also a watchdog. If doorbells were rung repeatedly in this worker's queue and none arrived here, the consumer has
lost its connection to Redis without noticing. If the event loop is still blocked when its leases are over, its jobs run
elsewhere. Then the process stops itself, which the audit log says, and its supervisor starts a new one.
"""

import os
import signal
import threading
import time
from contextlib import suppress
from typing import Any

import psycopg
import structlog

from schema.errors import LoginRefused
from schema.postgres.connections import connection_options
from schema.postgres.logins import PROOF, check_proof, login_conninfo
from schema.queries.jobs.attempts import RENEW, renew_values
from schema.queries.jobs.sweeper import UNANSWERED_DOORBELLS
from schema.queries.tenants.audit import ADD, audit_values
from schema.vault import PLATFORM
from workers.process_limits import return_free_memory
from workers.queue.context import QueueContext

log = structlog.get_logger()

AGAIN_S = 1.0
BLOCKED_S = 60.0
STALLED_S = 20.0
IDLE_S = 60.0
EXIT_S = 30.0
"""How long after its grace a stalled worker may take to stop."""


class Heartbeat(threading.Thread):
    """Beats three times per lease. `start()` it after the context is opened, `stop()` it before it is closed."""

    def __init__(self, context: QueueContext, *, database_url: str, grace_s: float) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._context, self._running = context, context.running
        self._database_url, self._grace_s = database_url, grace_s
        self._every_s = context.lease_s / 3
        self._stopping = threading.Event()
        self._loop_turned_at = self._memory_returned_at = time.monotonic()
        self._db: psycopg.Connection[Any] | None = None

    def stop(self) -> None:
        """Stop beating and close the connection."""
        self._stopping.set()
        self.join(5)

    def run(self) -> None:
        """Beat until stopped. While Postgres is unavailable, beat more often: when it is back, leases must be renewed before
        the sweeper looks at them again (`Scheduler`)."""
        wait_s = self._every_s
        while not self._stopping.wait(wait_s):
            try:
                self._beat()
                wait_s = self._every_s
            except (psycopg.Error, LoginRefused) as error:
                if wait_s == self._every_s:  # one line of an outage, however many beats it costs
                    log.warning("heartbeat_missed", error=type(error).__name__)
                self._disconnect()
                wait_s = min(self._every_s, AGAIN_S)
        self._disconnect()

    def _beat(self) -> None:
        self._running.loop.call_soon_threadsafe(self._on_loop_turn)
        blocked_s = time.monotonic() - self._loop_turned_at
        if blocked_s > max(BLOCKED_S, 2 * self._every_s):
            log.error("event_loop_blocked", running=len(self._running))
            if blocked_s > BLOCKED_S + 2 * self._context.lease_s:
                self._exit("event_loop_blocked")
            return
        db = self._connection()
        attempts = self._running.list_attempts()
        if not attempts:
            self._return_memory()
        else:
            values = renew_values(attempts, self._context.lease_s, worker=self._context.owner)
            rows = db.execute(RENEW, values).fetchall()
            renewed = {row["id"]: row["cancel_requested"] for row in rows}
            self._running.loop.call_soon_threadsafe(self._running.on_heartbeat, attempts, renewed)
        if self._is_stalled(db):
            self._exit("consumer_stalled")

    def _return_memory(self) -> None:
        """Once a minute, while nothing runs."""
        if time.monotonic() - self._memory_returned_at > IDLE_S:
            return_free_memory()
            self._memory_returned_at = time.monotonic()

    def _on_loop_turn(self) -> None:
        self._loop_turned_at = time.monotonic()

    def _is_stalled(self, db: psycopg.Connection[Any]) -> bool:
        running = self._running
        if running.draining or len(running) >= self._context.slots:
            return False
        if running.loop.time() - running.last_message_at < STALLED_S:
            return False
        return db.execute(UNANSWERED_DOORBELLS, {"queues": [self._context.name]}).fetchone() is not None

    def _exit(self, reason: str) -> None:
        log.error("worker_restarts", queue=self._context.name, reason=reason)
        with suppress(psycopg.Error, LoginRefused):
            entry = audit_values(
                PLATFORM,
                actor="system",
                action="worker.restarted",
                target=f"worker:{self._context.owner}",
                detail={"reason": reason},
            )
            self._connection().execute(ADD, entry)
        os.kill(os.getpid(), signal.SIGTERM)
        self._stopping.wait(self._grace_s + EXIT_S)
        os._exit(70)

    def _connection(self) -> psycopg.Connection[Any]:
        if self._db is None or self._db.closed:
            conninfo = login_conninfo(self._database_url, "headrace_system")
            self._db = psycopg.connect(conninfo, **connection_options("headrace heartbeat"))
            check_proof(self._db.execute(PROOF, prepare=False).fetchone(), "headrace_system")
        return self._db

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
