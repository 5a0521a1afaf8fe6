"""Measures calls of models: how long, and how they ended."""

import time
from types import TracebackType

from graphs.providers.call_log import CALLS
from schema.errors import ProviderError
from schema.metrics.catalog import MODEL_CALL, PROVIDER_ERRORS


class measured_call:
    """`with measured_call(provider.name, own_key=…):` around one call, with all of its stream. `own_key`: it is made with a
    tenant's own key."""

    def __init__(self, provider: str, *, own_key: bool) -> None:
        self._provider, self._own_key = provider, own_key

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        outcome = "ok" if kind is None else "error" if isinstance(error, Exception) else "cancelled"
        MODEL_CALL.of(self._provider, outcome).observe(time.perf_counter() - self._began)
        if not self._own_key:
            CALLS.note(self._provider, error)
        if isinstance(error, ProviderError):
            PROVIDER_ERRORS.of(self._provider, error.code).inc()
