"""Measures calls of models: how long, and how they ended."""

import time
from types import TracebackType

from schema.errors import ProviderError
from schema.metrics.catalog import MODEL_CALL, PROVIDER_ERRORS


class measured_call:
    """`with measured_call(provider.name):` around one call, with all of its stream."""

    def __init__(self, provider: str) -> None:
        self._provider = provider

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        outcome = "ok" if kind is None else "error" if isinstance(error, Exception) else "cancelled"
        MODEL_CALL.of(self._provider, outcome).observe(time.perf_counter() - self._began)
        if isinstance(error, ProviderError):
            PROVIDER_ERRORS.of(self._provider, error.code).inc()
