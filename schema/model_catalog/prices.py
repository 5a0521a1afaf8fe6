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
LONG_PROMPT = 64_000
"""Calls with more tokens in their prompts are counted by the length of that, since they may cost more; no model's dearer price
begins below."""
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
    @property
    def cache_write_1h_tokens(self) -> int: ...
    @property
    def prompt_tokens(self) -> int: ...


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """The price of a model in US dollars per million tokens. What has no price of its own costs as input or output does, and
    what is cached for an hour as what is cached. `dearer` is that of a whole call whose prompt has more than `above_tokens`."""

    input_usd: Decimal
    output_usd: Decimal
    cached_input_usd: Decimal | None = None
    cache_write_usd: Decimal | None = None
    reasoning_usd: Decimal | None = None
    cache_write_1h_usd: Decimal | None = None
    above_tokens: int | None = None
    dearer: "Price | None" = None

    def of_prompt(self, prompt_tokens: int) -> "Price":
        """Return the price of a call with such a prompt."""
        if self.dearer is None or self.above_tokens is None or prompt_tokens <= self.above_tokens:
            return self
        return self.dearer

    def charge(self, used: Counts) -> int:
        """Return what was used in nano-USD, rounded to the nearest. Tokens of the tenant's own provider key are free.

        No count can give money back: each is at least 0, and the parts of a whole are never more than it.
        """
        price = self.of_prompt(used.prompt_tokens)
        read, written = (
            _paid(used.input_tokens, used.own_key_input_tokens),
            _paid(used.output_tokens, used.own_key_output_tokens),
        )
        cached, cache_write = _parts(read, used.cached_tokens, used.cache_write_tokens)
        (for_an_hour,) = _parts(cache_write, used.cache_write_1h_tokens)
        (thought,) = _parts(written, used.reasoning_tokens)
        to_cache = _or(price.cache_write_usd, price.input_usd)
        usd = (
            (read - cached - cache_write) * price.input_usd
            + cached * _or(price.cached_input_usd, price.input_usd)
            + (cache_write - for_an_hour) * to_cache
            + for_an_hour * _or(price.cache_write_1h_usd, to_cache)
            + (written - thought) * price.output_usd
            + thought * _or(price.reasoning_usd, price.output_usd)
        )
        return min(MAX_NANOS, int((NANOS_PER_MICRO * usd).quantize(Decimal(1), ROUND_HALF_UP)))

    def most(self, input_tokens: int, output_tokens: int) -> int:
        """Return the most that a call can cost in nano-USD, rounded up, whatever part of it is cached or thought."""
        price = self.of_prompt(input_tokens)
        read = max(
            price.input_usd, price.cached_input_usd or 0, price.cache_write_usd or 0, price.cache_write_1h_usd or 0
        )
        written = max(price.output_usd, price.reasoning_usd or 0)
        return min(MAX_NANOS, math.ceil(NANOS_PER_MICRO * (input_tokens * read + output_tokens * written)))


FREE = Price(input_usd=Decimal(0), output_usd=Decimal(0))


def long_prompt(tokens: int) -> int:
    """Return the length of a prompt by which its call may cost more, 0 for one that is short."""
    return tokens if tokens > LONG_PROMPT else 0


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
