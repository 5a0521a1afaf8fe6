"""The header that says what a whole answer cost. A stream has it in its usage instead."""

from decimal import Decimal

from msgspec import UnsetType

COST_HEADER = "X-Headrace-Cost-USD"


def cost_header(cost_usd: float | UnsetType | None) -> dict[str, str]:
    """Return the header, in decimal digits without an exponent; none if the cost is unknown."""
    return {COST_HEADER: format(Decimal(repr(cost_usd)), "f")} if isinstance(cost_usd, int | float) else {}
