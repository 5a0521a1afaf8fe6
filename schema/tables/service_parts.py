"""The parts of this installation that the scheduler watches. No tenant's data."""

from datetime import datetime

from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import timestamp


class ServicePart(Table, table=True):
    """A part (as in `/health`) as its webhooks were told: `up` or `down`, `since` when, with the sentence that says why
    it was down last. One scheduler watches a part at a time: `watcher`, until `watched_until`."""

    __tablename__ = "service_parts"

    part: str = Field(primary_key=True)
    status: str
    since: datetime = timestamp(default=True)
    error: str | None = None
    watcher: str
    watched_until: datetime = timestamp(nullable=False)
