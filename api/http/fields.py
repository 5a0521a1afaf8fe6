"""Fields that many responses share, with one description each. Fields of a single resource are described with it."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

CreatedAt = Annotated[datetime, Meta(description="When it was created.")]
UpdatedAt = Annotated[datetime, Meta(description="When it was last changed.")]
CreatedBy = Annotated[str | None, Meta(description="Who created it: `user:ID` or `key:ID`; null if the system did.")]
NextCursor = Annotated[str | None, Meta(description="Pass it as `cursor` to get the next page; null on the last page.")]
NoNextCursor = Annotated[None, Meta(description="Always null: the list is whole.")]
