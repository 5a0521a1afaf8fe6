"""Money: US dollars in the API, nano-USD in the tables. A dollar amount in JSON is a number, whose shortest form is exact to
nine decimals for every budget that can be set.
"""

from decimal import Decimal
from typing import Annotated

from msgspec import Meta

from schema.errors import InputError

NANOS = 10**9
LARGEST_USD = 9_000_000
"""Its nano-USD stay below 2⁵³, which is as far as Lua counts exactly (`workers/limits/limits.py`)."""

Usd = Annotated[
    float,
    Meta(ge=0, le=LARGEST_USD, description="US dollars, with up to 9 decimal places.", examples=[25, 0.000000001]),
]


def nanos_of(usd: float, field: str) -> int:
    """Return the nano-USD of a dollar amount. Raises InputError for a fraction of one, which can't be stored."""
    nanos = Decimal(repr(usd)) * NANOS
    if nanos != int(nanos):
        raise InputError(f"{field} must have at most 9 decimal places.", field=field)
    return int(nanos)


def usd_of(nanos: int) -> float:
    """Return nano-USD as dollars."""
    return nanos / NANOS
