"""Valid slugs of tenants. They appear in paths, as in `POST /api/{tenant}/chat` and in admin routes."""

from api.auth.tenant_scope import SLUG, read_id
from schema.errors import InputError

RESERVED_SLUGS = frozenset(
    {
        *(
            "admin",
            "agents",
            "api",
            "api-keys",
            "audit",
            "auth",
            "benchmark",
            "benchmarks",
            "certificates",
            "chat",
            "collections",
        ),
        *(
            "configuration",
            "console",
            "conversations",
            "credentials",
            "data-sources",
            "datasets",
            "debug",
            "documents",
            "embed",
            "events",
        ),
        *(
            "export",
            "feedback",
            "files",
            "grants",
            "health",
            "hooks",
            "identity-providers",
            "jobs",
            "keys",
            "knowledge",
            "login",
        ),
        *(
            "memories",
            "messages",
            "metrics",
            "models",
            "performance",
            "pipelines",
            "platform",
            "privacy",
            "schedules",
            "schema",
        ),
        *(
            "search",
            "sessions",
            "sign-in",
            "static",
            "tenant",
            "tenants",
            "tools",
            "triggers",
            "upload",
            "usage",
            "users",
            "v1",
        ),
        *("webhook-deliveries", "webhooks", "well-known", "widgets"),
    }
)
"""First segments of our own paths, current and planned. A test compares them with the routes."""

SLUG_RULE = (
    "slug must be 2 to 63 characters long, contain only lowercase letters (a to z), digits and hyphens, start with a letter "
    "or a digit, and not look like an id."
)


def check_slug(slug: str) -> None:
    """Raise InputError unless a new tenant may have this slug."""
    if not SLUG.fullmatch(slug) or read_id(slug):
        raise InputError(SLUG_RULE, field="slug")
    if slug in RESERVED_SLUGS:
        raise InputError(f"slug must not be {slug!r}, which is a path of the API. Choose another slug.", field="slug")
