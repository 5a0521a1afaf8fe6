"""What an answer costs, to the nano-USD: the only place where tokens become money.

Not here: where prices come from (`catalog.py`), and what a budget allows (`workers/limits/`).
"""

import math
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Protocol

import msgspec

NANOS_PER_USD = 10**9
NANOS_PER_MICRO = 1000
MAX_NANOS = 2**53
"""The largest sum that Redis' Lua counts exactly."""


class Counts(Protocol):
    """Tokens of one model, as `schema.events.base.ModelUsage` has them."""

    @property
    def model(self) -> str: ...
    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def own_key_input_tokens(self) -> int: ...
    @property
    def own_key_output_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def cache_write_tokens(self) -> int: ...
    @property
    def reasoning_tokens(self) -> int: ...


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """The price of a model in US dollars per million tokens. What has no price of its own costs as input or output does."""

    input_usd: Decimal
    output_usd: Decimal
    cached_input_usd: Decimal | None = None
    cache_write_usd: Decimal | None = None
    reasoning_usd: Decimal | None = None

    def charge(self, used: Counts) -> int:
        """Return what was used in nano-USD, rounded to the nearest. Tokens of the tenant's own provider key are free.

        No count can give money back: each is at least 0, and the parts of a whole are never more than it.
        """
        read, written = (
            _paid(used.input_tokens, used.own_key_input_tokens),
            _paid(used.output_tokens, used.own_key_output_tokens),
        )
        cached, cache_write = _parts(read, used.cached_tokens, used.cache_write_tokens)
        (thought,) = _parts(written, used.reasoning_tokens)
        usd = (
            (read - cached - cache_write) * self.input_usd
            + cached * _or(self.cached_input_usd, self.input_usd)
            + cache_write * _or(self.cache_write_usd, self.input_usd)
            + (written - thought) * self.output_usd
            + thought * _or(self.reasoning_usd, self.output_usd)
        )
        return min(MAX_NANOS, int((NANOS_PER_MICRO * usd).quantize(Decimal(1), ROUND_HALF_UP)))

    def most(self, input_tokens: int, output_tokens: int) -> int:
        """Return the most that a call can cost in nano-USD, rounded up, whatever part of it is cached or thought."""
        read = max(self.input_usd, self.cached_input_usd or 0, self.cache_write_usd or 0)
        written = max(self.output_usd, self.reasoning_usd or 0)
        return min(MAX_NANOS, math.ceil(NANOS_PER_MICRO * (input_tokens * read + output_tokens * written)))


FREE = Price(input_usd=Decimal(0), output_usd=Decimal(0))


def to_usd(nanos: int) -> float:
    """Return nano-USD as dollars. In JSON its shortest decimal form is exact to nine places up to 9 million dollars."""
    return nanos / NANOS_PER_USD


def usd_text(nanos: int) -> str:
    """Return nano-USD as dollars in decimal digits, without an exponent."""
    whole, fraction = divmod(nanos, NANOS_PER_USD)
    return f"{whole}.{fraction:09d}".rstrip("0").rstrip(".")


def _paid(tokens: int, own_key_tokens: int) -> int:
    return max(0, tokens - max(0, own_key_tokens))


def _parts(whole: int, *parts: int) -> Sequence[int]:
    """Return each part as far as the whole has room for it, the first ones first."""
    found: list[int] = []
    for part in parts:
        found.append(max(0, min(part, whole - sum(found))))
    return found


def _or(usd: Decimal | None, other: Decimal) -> Decimal:
    return other if usd is None else usd
