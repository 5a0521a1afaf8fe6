"""The one tree of errors. Each has a stable `code` and a sentence; HTTP statuses live in `api/http/errors.py`,
decisions to retry in `workers/queue/errors.py`.

    HeadraceError
    ├── InputError            the caller sent something that can't be used; names the field
    │   ├── UnknownModel
    │   ├── UnknownAgent
    │   └── CredentialRefused a provider key was tried before it was stored, and its vendor did not take it
    ├── NotFound              no such thing for this tenant (never says whether another tenant has it)
    ├── Unauthenticated       no key or token, or one that isn't valid
    ├── Forbidden             the caller's role or key does not have the right
    │   └── TenantSuspended   the tenant is switched off
    ├── LimitReached          a limit or budget of the tenant; `retry_after_s` says when to come again
    ├── Conflict              right in itself, but not now
    │   ├── SessionBusy       on_busy=reject and a job of the session is not done
    │   └── IdempotencyReused the same Idempotency-Key came with another body
    ├── QueueFull             the tenant has as many waiting jobs as it may have
    ├── StorageFull           the tenant may store no more bytes
    ├── Unavailable           a store doesn't answer; nothing was accepted
    ├── DeadlinePassed        the job did not end before its deadline
    ├── WorkerLost            the worker that ran the job went away
    ├── NothingIngested       none of the files of a job could be made searchable; says why the first could not
    ├── SecretUnreadable      a stored secret can't be opened: unknown key, damaged, or sealed for another row
    ├── EgressFailed          a request to an address from outside brought nothing that can be used
    │   ├── EgressRefused     the egress guard did not let it out; says how an admin allows it
    │   └── EgressTooLarge    the answer is larger than it may be
    └── ProviderError         the model's vendor failed us; the tree goes on in `graphs/providers/errors.py`
"""


class HeadraceError(Exception):
    """An error with a stable `code` and a sentence that says what to do."""

    code: str = "internal"

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


class CredentialRefused(InputError):
    code = "credential_refused"


class NotFound(HeadraceError):
    code = "not_found"


class Unauthenticated(HeadraceError):
    code = "unauthenticated"


class Forbidden(HeadraceError):
    code = "forbidden"


class TenantSuspended(Forbidden):
    code = "tenant_suspended"


class LimitReached(HeadraceError):
    """`code` names the limit; `headers` are those of the rate limits."""

    code = "limit_reached"

    def __init__(self, message: str, *, code: str, retry_after_s: float, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_s, self.headers = retry_after_s, headers or {}


class Conflict(HeadraceError):
    code = "conflict"


class SessionBusy(Conflict):
    code = "session_busy"


class IdempotencyReused(Conflict):
    code = "idempotency_key_reused"


class QueueFull(HeadraceError):
    code = "queue_full"


class StorageFull(HeadraceError):
    code = "storage_full"


class Unavailable(HeadraceError):
    code = "unavailable"


class DeadlinePassed(HeadraceError):
    code = "deadline_passed"


class WorkerLost(HeadraceError):
    code = "worker_lost"


class NothingIngested(HeadraceError):
    code = "nothing_ingested"


class SecretUnreadable(HeadraceError):
    code = "secret_unreadable"


class EgressFailed(HeadraceError):
    """Its sentences name the host, never a path, a query or a header: those may hold secrets."""

    code = "egress_failed"


class EgressRefused(EgressFailed):
    code = "egress_refused"


class EgressTooLarge(EgressFailed):
    code = "egress_too_large"


class ProviderError(HeadraceError):
    """A model's vendor failed. `retryable`: whether another try may go better; `retry_after_s`: the vendor's own wish."""

    code = "provider_failed"
    retryable: bool = False
    retry_after_s: float | None = None
