"""What running a job needs of its worker process, whatever kind of job it is. Opened in `workers/context.py`."""

from dataclasses import dataclass

from graphs.fair_loop import FairLoop
from schema.model_catalog.catalog import Catalogs
from schema.postgres.connections import Pool
from workers.limits.limits import Limits
from workers.queue.dispatch import Dispatcher
from workers.queue.running import RunningAttempts
from workers.stream.relay import Relay


@dataclass(frozen=True)
class QueueContext:
    """The queue that this process serves, and the resources of its attempts. `pool` sees one tenant at a time."""

    name: str
    node: str
    """This worker's name in Flower and in events."""
    owner: str
    """This process's name in leases."""
    slots: int
    """How many jobs run here at once."""
    lease_s: float
    pool: Pool
    relay: Relay
    limits: Limits
    catalogs: Catalogs
    dispatcher: Dispatcher
    running: RunningAttempts
    fair_loop: FairLoop
    """Of this process's loop, shared by the tenants whose jobs run here."""
