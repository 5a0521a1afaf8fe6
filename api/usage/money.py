"""Converts money: US dollars in the API, nano-USD in the tables. In JSON an amount is a number, whose shortest decimal form is
exact to nine places for every amount up to `MAX_USD`.
"""

from decimal import Decimal
from typing import Annotated

from msgspec import Meta

from schema.errors import InputError

NANOS_PER_USD = 10**9
MAX_USD = 9_000_000
"""In nano-USD it is below 2⁵³, the largest integer that Lua counts exactly (`workers/limits/limits.py`)."""

Usd = Annotated[
    float,
    Meta(ge=0, le=MAX_USD, description="US dollars, with up to 9 decimal places.", examples=[25, 0.000000001]),
]


def to_nanos(usd: float, field: str) -> int:
    """Return the nano-USD of a dollar amount. Raises InputError for fractions of one, which can't be stored."""
    nanos = Decimal(repr(usd)) * NANOS_PER_USD
    if nanos != int(nanos):
        raise InputError(f"{field} must have at most 9 decimal places.", field=field)
    return int(nanos)


def to_usd(nanos: int) -> float:
    """Return nano-USD as dollars."""
    return nanos / NANOS_PER_USD
