"""The one tree of errors. Each has a stable `code` and a sentence; HTTP statuses live in `api/errors.py`,
decisions to retry in `workers/errors.py`.

    HeadraceError
    ├── InputError            the caller sent something that can't be used; names the field
    │   ├── UnknownModel
    │   └── UnknownAgent
    ├── NotFound              no such thing for this tenant (never says whether another tenant has it)
    ├── Unauthenticated       no key, or one that isn't valid
    ├── Conflict              right in itself, but not now
    │   ├── SessionBusy       on_busy=reject and a job of the session is not done
    │   └── IdempotencyReused the same Idempotency-Key came with another body
    ├── QueueFull             the tenant has as many waiting jobs as it may have
    ├── Unavailable           a store doesn't answer; nothing was accepted
    ├── DeadlinePassed        the job did not end before its deadline
    ├── WorkerLost            the worker that ran the job went away
    └── ProviderError         the model's vendor failed us; the tree goes on in `graphs/providers/errors.py`
"""

from typing import ClassVar


class HeadraceError(Exception):
    """An error with a stable `code` and a sentence that says what to do."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class InputError(HeadraceError):
    code = "invalid_input"


class UnknownModel(InputError):
    code = "model_unknown"


class UnknownAgent(InputError):
    code = "agent_unknown"


class NotFound(HeadraceError):
    code = "not_found"


class Unauthenticated(HeadraceError):
    code = "unauthenticated"


class Conflict(HeadraceError):
    code = "conflict"


class SessionBusy(Conflict):
    code = "session_busy"


class IdempotencyReused(Conflict):
    code = "idempotency_key_reused"


class QueueFull(HeadraceError):
    code = "queue_full"


class Unavailable(HeadraceError):
    code = "unavailable"


class DeadlinePassed(HeadraceError):
    code = "deadline_passed"


class WorkerLost(HeadraceError):
    code = "worker_lost"


class ProviderError(HeadraceError):
    """A model's vendor failed. `retryable`: whether another try may go better; `retry_after_s`: the vendor's own wish."""

    code = "provider_failed"
    retryable: bool = False
    retry_after_s: float | None = None
