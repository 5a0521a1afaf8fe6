"""Every Redis key and channel name is made here. Whatever belongs to a tenant carries its id."""

from uuid import UUID

CONTROL = "headrace:control"  # cancellations, to every worker
WAKE = "headrace:wake"  # something waits in Postgres, to every dispatcher


def job_events(tenant_id: UUID, job_id: UUID) -> str:
    """The stream that replays a job's events."""
    return f"headrace:{tenant_id}:job:{job_id}:events"


def job_fence(tenant_id: UUID, job_id: UUID) -> str:
    """The hash {attempt, last}: who may append to the stream, and the number of its last event."""
    return f"headrace:{tenant_id}:job:{job_id}:fence"


def job_channel(tenant_id: UUID, job_id: UUID) -> str:
    """The pub/sub channel of one job, for readers other than the submitting process."""
    return f"headrace:{tenant_id}:job:{job_id}:live"


def inbox(process: str) -> str:
    """The pub/sub channel of one API process: the events of all jobs that were submitted through it."""
    return f"headrace:inbox:{process}"
