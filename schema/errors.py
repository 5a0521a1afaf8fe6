"""The tree of all errors. Each has a stable `code` and a message; HTTP statuses are in `api/http/errors.py`, retry
decisions in `workers/queue/errors.py`.

    HeadraceError
    ├── InputError            invalid input from the caller; names the field
    │   ├── UnknownModel
    │   ├── UnknownAgent
    │   ├── ThreadUnsupported  a client of Anthropic's API wants its conversation kept here
    │   ├── CredentialRefused the vendor rejected a provider key that was to be stored
    │   ├── FileUnreadable    a file of a message can't be read; `code` is the reason, as with documents
    │   ├── BatchInvalid      the file of a batch is not valid; the batch says what is wrong, by line
    │   ├── FieldsAbsent      the body of a call lacks what a trigger's job needs
    │   └── SecretsRequired   the address changed, so its stored secrets must be sent again
    ├── NotFound              not found in this tenant (never says whether another tenant has it)
    ├── Unauthenticated       no key or token, or an invalid one
    ├── Forbidden             the caller's role or key does not have the right
    │   └── TenantSuspended   the tenant is suspended
    ├── LimitReached          a limit or budget of the tenant; `retry_after_s` says when to retry
    ├── Conflict              valid, but in conflict with the current state
    │   ├── SessionBusy       on_busy=reject, and a job of the session has not finished
    │   └── IdempotencyReused the Idempotency-Key was used with a different body
    ├── QueueFull             the tenant has the maximum number of waiting jobs
    │   └── BatchesFull       the tenant has the maximum number of batches
    ├── StorageFull           the tenant's storage limit is reached
    ├── UploadTooLarge        the files of an upload are too large together
    ├── Unavailable           a store doesn't answer; `effect` says what became of the request
    ├── LoginRefused          a user of Postgres is refused, or has rights that it must not have; ends a process at its start
    ├── ClusterRefused        HEADRACE_REDIS_URL leads to a Cluster, which can't be used; ends a process at its start
    ├── MetricsPortTaken      the process can't listen on HEADRACE_METRICS_PORT; ends it at its start
    ├── DeadlinePassed        the job did not finish before its deadline
    ├── WorkerLost            the worker that ran the job was lost
    ├── NothingIngested       none of a job's files could be ingested; says why the first could not
    ├── SecretUnreadable      a stored secret can't be decrypted: unknown key, damaged, or sealed for another row
    ├── EgressFailed          a request to an external address failed
    │   ├── EgressRefused     the egress guard blocked it; says how an admin can allow it
    │   └── EgressTooLarge    the response exceeds the size limit
    └── ProviderError         a call of a model provider failed; continued in `graphs/providers/errors.py`
"""

from typing import Literal


class HeadraceError(Exception):
    """An error with a stable `code` and a message that says what to do."""

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


class ThreadUnsupported(InputError):
    code = "thread_unsupported_request"


class CredentialRefused(InputError):
    code = "credential_refused"


class BatchInvalid(InputError):
    code = "batch_invalid"


class SecretsRequired(InputError):
    code = "secrets_required"


class FileUnreadable(InputError):
    """`code` is one of `Unreadable` (`tools/documents/blocks.py`)."""

    code = "damaged"

    def __init__(self, message: str, *, code: str, field: str | None = None) -> None:
        super().__init__(message, field=field)
        self.code = code


class FieldsAbsent(InputError):
    code = "fields_missing"


class NotFound(HeadraceError):
    code = "not_found"


class Unauthenticated(HeadraceError):
    code = "unauthenticated"


class Forbidden(HeadraceError):
    code = "forbidden"


class TenantSuspended(Forbidden):
    code = "tenant_suspended"


class LimitReached(HeadraceError):
    """`code` names the limit; `headers` are the rate-limit headers. Without `retry_after_s`, waiting doesn't help."""

    code = "limit_reached"

    def __init__(
        self, message: str, *, code: str, retry_after_s: float | None, headers: dict[str, str] | None = None
    ) -> None:
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


class BatchesFull(QueueFull):
    """`retry_after_s`: batches take minutes, so coming back at once doesn't help."""

    retry_after_s = 60.0


class StorageFull(HeadraceError):
    code = "storage_full"


class UploadTooLarge(HeadraceError):
    code = "body_too_large"


class Unavailable(HeadraceError):
    """`effect`: what became of the request, where that is worth saying: `nothing` was done, or it is `unknown`."""

    code = "unavailable"

    def __init__(self, message: str, *, effect: Literal["nothing", "unknown"] | None = None) -> None:
        super().__init__(message)
        self.effect = effect


class LoginRefused(HeadraceError):
    code = "login_refused"


class ClusterRefused(HeadraceError):
    code = "cluster_refused"


class MetricsPortTaken(HeadraceError):
    code = "metrics_port_taken"


class DeadlinePassed(HeadraceError):
    code = "deadline_passed"


class WorkerLost(HeadraceError):
    code = "worker_lost"


class NothingIngested(HeadraceError):
    code = "nothing_ingested"


class SecretUnreadable(HeadraceError):
    code = "secret_unreadable"


class EgressFailed(HeadraceError):
    """Messages name the host, never a path, query or header, which may contain secrets."""

    code = "egress_failed"


class EgressRefused(EgressFailed):
    code = "egress_refused"


class EgressTooLarge(EgressFailed):
    code = "egress_too_large"


class ProviderError(HeadraceError):
    """A call of a model provider failed. `retryable`: a retry may succeed; `retry_after_s`: as the vendor requested.
    `vendor_code` and `vendor_param` are the vendor's own words for what is wrong, and where."""

    code = "provider_failed"
    retryable: bool = False
    retry_after_s: float | None = None
    vendor_code: str | None = None
    vendor_param: str | None = None
