"""Measures and traces calls of models: how long, how they ended, and what they used."""

import time
from types import TracebackType

from graphs.providers.calls.log import CALLS
from graphs.providers.calls.span import call_span
from graphs.providers.contract import ModelRequest
from schema.errors import ProviderError
from schema.metrics.catalog import MODEL_CALL, PROVIDER_ERRORS
from schema.tracing.spans import Span


class measured_call:
    """`with measured_call(provider.name, request, own_key=…) as span:` around one call, with all of its stream, which goes
    through `noting(span, stream)` (`span.py`). `own_key`: it is made with a tenant's own key."""

    def __init__(self, provider: str, request: ModelRequest, *, own_key: bool) -> None:
        self._provider, self._own_key = provider, own_key
        self._span = call_span(provider, request)

    def __enter__(self) -> Span:
        self._began = time.perf_counter()
        return self._span.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._span.__exit__(kind, error, trace)
        outcome = "ok" if kind is None else "error" if isinstance(error, Exception) else "cancelled"
        MODEL_CALL.of(self._provider, outcome).observe(time.perf_counter() - self._began)
        if not self._own_key:
            CALLS.note(self._provider, error)
        if isinstance(error, ProviderError):
            PROVIDER_ERRORS.of(self._provider, error.code).inc()
