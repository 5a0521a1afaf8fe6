"""The names of all Redis keys and channels. Those of a tenant contain its id."""

from uuid import UUID

CONTROL = "headrace:control"  # cancellations, to every worker
WAKE = "headrace:wake"  # jobs are waiting, to every dispatcher
WEBHOOKS = "headrace:webhooks"  # deliveries are due, to every deliverer
BATCH_LINES = "headrace:batch_lines"  # the list of lines of batches that an API process is to call
RESERVATIONS = "headrace:reservations"  # a zset: "tenant:job" of every open reservation, by creation time

ROUTED = "headrace:routed"  # a zset: tenants whose questions were routed among agents, by when
ROUTES_BY_WORDS = (
    "headrace:routes_by_words"  # a channel that workers listen to which lack what they route with: /health counts them
)

STARTED_AT = "headrace:born"  # a time in seconds that is gone if Redis is wiped: what is older, it may have forgotten
STARTED_AT_KEYS = (STARTED_AT, "headrace:born:master")  # and the replication id that the master had then

HEALTH_CHECK = "headrace:health"  # written by health checks
PROCESSES = "headrace:processes"  # the hash {process: how it is}, which each process writes every two seconds
FAILING_PROVIDERS = "headrace:providers:failing"  # vendors that fail, as JSON: {name: whether new jobs avoid it}

EVERY_KEY = "headrace:*"
"""The pattern of all keys."""

JOB_EVENTS, JOB_FENCES = "headrace:*:job:*:events", "headrace:*:job:*:fence"
"""Patterns of `job_events` and `job_fence` of all jobs."""


def job_events(tenant_id: UUID, job_id: UUID) -> str:
    """The stream of a job's events."""
    return f"headrace:{tenant_id}:job:{job_id}:events"


def job_fence(tenant_id: UUID, job_id: UUID) -> str:
    """The hash {attempt, holder, last}: who may append to the stream, and the number of its last event."""
    return f"headrace:{tenant_id}:job:{job_id}:fence"


def job_keys(tenant_id: UUID, job_id: UUID) -> tuple[str, str]:
    """A job's stream and its fence, which change together."""
    return job_events(tenant_id, job_id), job_fence(tenant_id, job_id)


def job_channel(tenant_id: UUID, job_id: UUID) -> str:
    """The pub/sub channel of one job, for readers in other processes than the submitter's."""
    return f"headrace:{tenant_id}:job:{job_id}:live"


def changes(tenant_id: UUID) -> str:
    """The stream of what has changed in a tenant, while somebody watches it."""
    return f"headrace:{tenant_id}:changes"


def changes_watched(tenant_id: UUID) -> str:
    """Is there while somebody watches a tenant's changes, and for a while after."""
    return f"headrace:{tenant_id}:changes:watched"


def changes_channel(tenant_id: UUID) -> str:
    """The pub/sub channel of a tenant's changes."""
    return f"headrace:{tenant_id}:changes:live"


def inbox(process: str) -> str:
    """The pub/sub channel of one API process: the events of all jobs that were submitted through it."""
    return f"headrace:inbox:{process}"


def configuration(tenant_id: UUID, version: str) -> str:
    """A tenant's agents, tools and settings of one version."""
    return f"headrace:{tenant_id}:configuration:{version}"


def limits(tenant_id: UUID) -> tuple[str, ...]:
    """The keys of a tenant's limits, in the order in which `workers/limits/lua/limits.lua` explains them."""
    parts = ("jobs", "reserved", "day", "month")
    return tuple(f"headrace:{tenant_id}:limits:{part}" for part in parts)


def limit_window(tenant_id: UUID, name: str) -> str:
    """The hash {second: count} of one of a tenant's rate limits."""
    return f"headrace:{tenant_id}:limits:{name}"


def trigger_calls(tenant_id: UUID, trigger_id: UUID, which: str) -> str:
    """The number of calls of a trigger, of one sort in one minute."""
    return f"headrace:{tenant_id}:trigger:{trigger_id}:{which}"


def widget_calls(tenant_id: UUID, widget_id: UUID, which: str) -> str:
    """The number of calls of a chat widget, of one sort in one minute, of all visitors or of one address."""
    return f"headrace:{tenant_id}:widget:{widget_id}:{which}"


def webhook_hold(tenant_id: UUID, lane: str) -> str:
    """Until when, and why, a receiver of webhooks gets nothing."""
    return f"headrace:{tenant_id}:webhooks:held:{lane}"


def login_failures(tenant_id: UUID, digest: str) -> str:
    """The hash {who tries: attempts} of recent sign-ins of one user; for unknown tenants, under the platform's id."""
    return f"headrace:{tenant_id}:sign_ins:{digest}"


def address_failures(digest: str) -> str:
    """The hash {all: attempts} of recent sign-ins from one address, to any tenant."""
    return f"headrace:sign_ins:{digest}"


def used_login_state(tenant_id: UUID, digest: str) -> str:
    """Marks the state of an OIDC sign-in as used: it is valid once."""
    return f"headrace:{tenant_id}:oidc:{digest}"


def tenant_pattern(tenant_id: UUID) -> str:
    """The pattern of every key of one tenant."""
    return f"headrace:{tenant_id}:*"


def routing_vector(digest: str) -> str:
    """The vector of a text that the router compares questions with; the digest is of the text and its embedder, since many
    tenants have the same texts."""
    return f"headrace:routing_vector:{digest}"


def embedding_requests(queue: str) -> str:
    """The list of embedding requests of API processes; `queue` is `query` or `bulk`. Bounded and short-lived."""
    return f"headrace:embed:{queue}"


def embedding_responses(process: str) -> str:
    """The pub/sub channel on which an API process receives embedding responses."""
    return f"headrace:embedded:{process}"
