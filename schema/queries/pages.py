"""Bounds for lists that are asked for without any: the smallest and largest time and id, so that one statement with one plan
serves both."""

from datetime import UTC, datetime
from uuid import UUID

LAST_ID = UUID(int=2**128 - 1)
BEGINNING = datetime.min.replace(tzinfo=UTC)
END = datetime.max.replace(tzinfo=UTC)
