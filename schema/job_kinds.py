"""The kinds of job: which queue and Celery task run one, how often it may be tried, how long it may take. What one does is in
`workers/celery/tasks.py`."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["chat", "pipeline", "ingestion", "benchmark", "batch"]

INTERACTIVE = "interactive"
"""A field of the payload of chats for which a client waits: it hears of a provider's failure within seconds."""

OF_BATCH = "batch"
"""A field of the payload of jobs that are lines of a batch: which line. Their ends are announced to nobody."""


@dataclass(frozen=True)
class JobKind:
    """`task` is the Celery wire name; `max_tries` counts attempts that were lost or failed; `deadline_s` counts from
    the submit to the end, waiting included.

    For jobs that take minutes, of which a worker runs only a few at a time: `window`, how many doorbells may wait in the
    broker (None: the installation's setting); `max_running_per_tenant`, how many jobs of one tenant may be in flight,
    so that others get slots; `claim_timeout_factor`, by what factor a doorbell may take longer to be answered. `metered`: its
    tokens count against the tenant's tokens per minute. `counted`: it counts against the tenant's cap; one that only waits for
    other jobs, each of which counts, would take the slot that they wait for."""

    name: Kind
    queue: str
    task: str
    max_tries: int
    deadline_s: float
    window: int | None = None
    max_running_per_tenant: int | None = None
    claim_timeout_factor: int = 1
    metered: bool = True
    counted: bool = True


KINDS: dict[Kind, JobKind] = {
    kind.name: kind
    for kind in (
        JobKind("chat", queue="chat", task="chat.answer", max_tries=4, deadline_s=3600.0),
        JobKind("pipeline", queue="default", task="pipeline.run", max_tries=4, deadline_s=3600.0),
        # Thousands of files may take a night; each file has its own timeout (`workers/ingestion/`).
        JobKind(
            "ingestion",
            queue="ingestion",
            task="documents.ingest",
            max_tries=8,
            deadline_s=86_400.0,
            window=8,
            max_running_per_tenant=4,
            claim_timeout_factor=12,
            metered=False,  # ingesting a folder must not block chats; its cost counts all the same
        ),
        # Thousands of calls of a slow model take hours; each has its own timeout (`workers/benchmarks/measure.py`).
        JobKind("benchmark", queue="default", task="benchmark.run", max_tries=4, deadline_s=43_200.0),
        # As long as the window that clients ask for. Its lines are jobs (`workers/batches/run.py`).
        JobKind("batch", queue="default", task="batch.run", max_tries=8, deadline_s=86_400.0, counted=False),
    )
}

UNCOUNTED: tuple[Kind, ...] = tuple(kind.name for kind in KINDS.values() if not kind.counted)

QUEUES: tuple[str, ...] = tuple(dict.fromkeys(kind.queue for kind in KINDS.values()))

KIND_BY_QUEUE: dict[str, JobKind] = {kind.queue: kind for kind in KINDS.values()}
"""The kind of a queue's jobs."""
