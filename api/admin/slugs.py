"""What a tenant may be called in paths: `POST /api/{tenant}/chat` and the admin's own routes."""

from api.admin.concerned import SLUG, read_id
from schema.errors import InputError

RESERVED = frozenset(
    {
        *("admin", "api", "health", "metrics", "platform", "schema", "v1", "debug", "well-known", "static", "console"),
        *("agents", "api-keys", "audit", "auth", "benchmark", "certificates", "chat", "collections", "configuration"),
        *("conversations", "credentials", "data-sources", "documents", "export", "feedback", "files", "grants"),
        *(
            "identity-providers",
            "jobs",
            "keys",
            "knowledge",
            "login",
            "memories",
            "messages",
            "models",
            "performance",
            "pipelines",
        ),
        *("privacy", "search", "sessions", "sign-in", "tenant", "tenants", "tools", "upload", "usage", "users"),
        *("webhooks", "webhook-deliveries"),
    }
)
"""First segments of our own paths, today's and those to come. A test compares them with the routes."""

RULE = (
    "slug must have 2 to 63 characters: small letters a to z, digits and hyphens, the first a letter or a digit; "
    "and it must not look like an id."
)


def check_slug(slug: str) -> None:
    """Raise InputError unless a new tenant may have this slug."""
    if not SLUG.fullmatch(slug) or read_id(slug):
        raise InputError(RULE, field="slug")
    if slug in RESERVED:
        raise InputError(f"slug can't be {slug!r}: that is a path of the API. Choose another.", field="slug")
