"""The bounds of a list that is asked for without any: its statement then needs no other form, and no plan of its own."""

from datetime import UTC, datetime
from uuid import UUID

LAST_ID = UUID(int=2**128 - 1)
BEGINNING = datetime.min.replace(tzinfo=UTC)
END = datetime.max.replace(tzinfo=UTC)
