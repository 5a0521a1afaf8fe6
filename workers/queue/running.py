"""The attempts that run in this worker process: where heartbeats, cancel commands and a stopping worker find them."""

import asyncio
from typing import Literal, Protocol
from uuid import UUID

import msgspec

from schema.states import CancelMode
from workers.queue.control import CancelCommand

AttemptKey = tuple[UUID, UUID, int]
"""The tenant, job and number of an attempt that runs here."""


class RunningAttempt(Protocol):
    """What the registry needs of an attempt (`workers/queue/attempts.py`)."""

    tenant_id: UUID
    job_id: UUID
    number: int

    def stop(self, reason: Literal["cancel", "hand_back", "fenced"], mode: CancelMode = "keep") -> None:
        """Stop the work and end as `reason` says."""
        ...


class RunningAttempts:
    """The registry. It belongs to the event loop that creates it; only `list_attempts` may be called from other threads."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.last_message_at = self.loop.time()
        self.draining = False
        self._by_job: dict[UUID, RunningAttempt] = {}

    def __len__(self) -> int:
        return len(self._by_job)

    def register(self, attempt: RunningAttempt) -> None:
        """Add an attempt: from now on its lease is renewed, and commands reach it."""
        self._by_job[attempt.job_id] = attempt
        if self.draining:
            attempt.stop("hand_back")

    def unregister(self, attempt: RunningAttempt) -> None:
        """Remove an attempt that has ended."""
        if self._by_job.get(attempt.job_id) is attempt:
            del self._by_job[attempt.job_id]

    def holds(self, job_id: UUID, number: int) -> bool:
        """Whether the attempt of this number runs here. If its claim was forgotten, the same doorbell must not run it twice."""
        attempt = self._by_job.get(job_id)
        return attempt is not None and attempt.number == number

    def hand_back(self) -> None:
        """Return all running jobs to the queue, and any that are still claimed after this."""
        self.draining = True
        for attempt in list(self._by_job.values()):
            attempt.stop("hand_back")

    def list_attempts(self) -> list[AttemptKey]:
        """Return all attempts that run here. May be called from any thread."""
        return [(a.tenant_id, a.job_id, a.number) for a in list(self._by_job.values())]

    def on_message(self) -> None:
        """Record that a doorbell was received; the heartbeat's watchdog compares times."""
        self.last_message_at = self.loop.time()

    def on_command(self, _channel: str, data: bytes) -> None:
        """Carry out a command from the control channel, if it is for an attempt that runs here."""
        command = msgspec.json.decode(data, type=CancelCommand)
        attempt = self._by_job.get(command.job_id)
        if attempt is not None and attempt.number == command.attempt:
            attempt.stop("cancel", command.mode)

    def on_heartbeat(self, sent: list[AttemptKey], renewed: dict[UUID, str | None]) -> None:
        """Stop attempts whose lease was lost, and those whose cancel command did not arrive. `renewed` has the cancel
        mode, if any, of each job whose lease was renewed."""
        for _, job_id, number in sent:
            attempt = self._by_job.get(job_id)
            if attempt is None or attempt.number != number:
                continue
            if job_id not in renewed:
                attempt.stop("fenced")
            elif mode := renewed[job_id]:
                attempt.stop("cancel", "forget" if mode == "forget" else "keep")
