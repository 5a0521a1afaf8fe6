"""All models of an installation, by name, and what is known of a name that has no row of its own.

    job ──▶ version of the models (read with the job) ──▶ this process ──▶ Postgres

A name is matched strictly, because its price becomes a bill:

- a row of this name;
- of OpenAI and Anthropic, who name snapshots of a model by their date: the row of the model without the date, unless a
  snapshot of it is known to cost something else;
- servers that people run themselves cost nothing.

Everything else is unknown: a deployment of Azure says nothing of the model behind it, a fine-tuned model costs more than its
base. An admin sets its price (`PUT /api/admin/models/…`, with `like` that of another).
"""

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

import msgspec
import structlog

from schema.errors import Unavailable
from schema.model_catalog.prices import FREE, Counts, Price
from schema.postgres.connections import Pool, connection, fetch_all, fetch_one
from schema.postgres.outages import retry_while_down
from schema.ttl_cache import TtlCache

log = structlog.get_logger()

Kind = Literal["chat", "embedding"]

OWN_SERVERS = frozenset({"ollama", "vllm", "llamacpp", "lmstudio", "offline", "minilm", "sentence-transformers"})
"""Providers that run on people's own machines."""
_IN_THE_CLOUD = re.compile(r"[-:]cloud$")  # Ollama's, which it runs itself and charges for
_SNAPSHOT = {
    "openai": re.compile(r"(openai/.+)-\d{4}-\d{2}-\d{2}"),
    "anthropic": re.compile(r"(anthropic/.+)-\d{8}"),
}

LATEST_TTL_S = 1.0
MAX_UNPRICED = 1000


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `models`; None is unknown. Prices are in US dollars per million tokens. `source` is None where an admin has set
    the row, else whose data it is. A call whose prompt is above `dearer_above_tokens` costs the `dearer` prices, where they
    are known."""

    name: str
    kind: Kind | None = None
    input_usd: Decimal | None = None
    output_usd: Decimal | None = None
    cached_input_usd: Decimal | None = None
    cache_write_usd: Decimal | None = None
    reasoning_usd: Decimal | None = None
    cache_write_1h_usd: Decimal | None = None
    dearer_above_tokens: int | None = None
    dearer_input_usd: Decimal | None = None
    dearer_output_usd: Decimal | None = None
    dearer_cached_input_usd: Decimal | None = None
    dearer_cache_write_usd: Decimal | None = None
    dearer_cache_write_1h_usd: Decimal | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    tools: bool | None = None
    images: bool | None = None
    structured_output: bool | None = None
    reasoning: bool | None = None
    temperature: bool | None = None
    deprecated: bool = False
    retires_on: date | None = None
    fallbacks: list[str] | None = None
    source: str | None = None
    updated_at: datetime | None = None

    @property
    def price(self) -> Price | None:
        """Its price, None if that is unknown."""
        if self.input_usd is None or self.output_usd is None:
            return None
        return Price(
            input_usd=self.input_usd,
            output_usd=self.output_usd,
            cached_input_usd=self.cached_input_usd,
            cache_write_usd=self.cache_write_usd,
            reasoning_usd=self.reasoning_usd,
            cache_write_1h_usd=self.cache_write_1h_usd,
            above_tokens=self.dearer_above_tokens,
            dearer=self._dearer(),
        )

    def _dearer(self) -> Price | None:
        if self.dearer_input_usd is None or self.dearer_output_usd is None:
            return None
        return Price(
            input_usd=self.dearer_input_usd,
            output_usd=self.dearer_output_usd,
            cached_input_usd=self.dearer_cached_input_usd,
            cache_write_usd=self.dearer_cache_write_usd,
            cache_write_1h_usd=self.dearer_cache_write_1h_usd,
        )


COLUMNS = ", ".join(Model.__struct_fields__)


class Catalog:
    """All models in one version."""

    def __init__(self, models: Iterable[Model]) -> None:
        self._models: Mapping[str, Model] = {model.name: model for model in models}
        self._snapshots: dict[str, set[Price | None]] = {}
        for model in self._models.values():
            if base := _without_date(model.name):
                self._snapshots.setdefault(base, set()).add(model.price)

    def find(self, name: str) -> Model | None:
        """Return what is known of a model, `provider/name`; None if nothing is."""
        if (found := self._models.get(name)) is not None:
            return found
        base = self._models.get(_without_date(name) or "")
        if base is None or self._snapshots.get(base.name, {base.price}) != {base.price}:
            return None
        return msgspec.structs.replace(base, name=name, fallbacks=None)

    def price(self, name: str) -> Price | None:
        """Return the price of a model; None if it is unknown."""
        found = self.find(name)
        price = found.price if found is not None else None
        if price is None and name.partition("/")[0] in OWN_SERVERS and not _IN_THE_CLOUD.search(name):
            return FREE
        return price

    def charge(self, used: Counts) -> int | None:
        """Return what was used of a model in nano-USD; None if its price is unknown and somebody has to pay it."""
        price = self.price(used.model)
        if price is None:
            is_own = used.own_key_input_tokens >= used.input_tokens and used.own_key_output_tokens >= used.output_tokens
            return 0 if is_own else None
        return price.charge(used)

    def fallbacks(self) -> dict[str, list[str]]:
        """Return the fallbacks of the models that have some."""
        return {model.name: model.fallbacks for model in self._models.values() if model.fallbacks}


def _without_date(name: str) -> str | None:
    pattern = _SNAPSHOT.get(name.partition("/")[0])
    match = pattern.fullmatch(name) if pattern is not None else None
    return match[1] if match is not None else None


class Catalogs:
    """The newest catalog, in this process."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._cached: TtlCache[str, Catalog] = TtlCache(2)
        self._latest: TtlCache[None, Catalog] = TtlCache(1, LATEST_TTL_S)
        self._newest: Catalog | None = None
        self._unpriced: TtlCache[str, bool] = TtlCache(MAX_UNPRICED)

    async def at(self, version: str) -> Catalog:
        """Return the models in `version`, or in a newer one. While Postgres is unavailable, the newest that is known; raises
        Unavailable if none is."""
        try:
            found = await self._cached.load(version, lambda: retry_while_down(self._read))
        except Unavailable:
            if self._newest is None:
                raise
            log.warning("models_not_read", version=version)
            return self._newest
        self._newest = found
        return found

    async def latest(self) -> Catalog:
        """Return the models as they are now, or were a second ago. Raises Unavailable."""
        return await self._latest.load(None, self._read_latest)

    def forget(self) -> None:
        """Forget which version is the latest: it was changed here."""
        self._latest.clear()

    def note_unpriced(self, model: str, tenant_id: UUID) -> None:
        """Log that a model was used whose price is unknown, once for each."""
        if model not in self._unpriced:
            self._unpriced.put(model, True)
            log.warning("model_without_price", model=model, tenant_id=str(tenant_id))

    async def _read_latest(self) -> Catalog:
        async with connection(self._pool) as db:
            row = await fetch_one(db, "SELECT models_version() AS version", {})
        assert row is not None
        return await self.at(row["version"])

    async def _read(self) -> Catalog:
        async with connection(self._pool) as db:
            return Catalog(await fetch_all(db, f"SELECT {COLUMNS} FROM models", {}, into=Model))
