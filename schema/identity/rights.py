"""Rights, and the roles that have them. A handler names the right that it requires (`api/auth/principals.py`).

The `scopes` of an API key limit it to some of its role's rights.
"""

from typing import Literal, get_args

Role = Literal["admin", "owner", "member", "viewer"]
"""`admin` manages the installation, `owner` a tenant; a `member` works in it, a `viewer` can only read."""

Right = Literal[
    "self",
    "jobs.read",
    "jobs.write",
    "sessions.read",
    "sessions.write",
    "models.read",
    "agents.read",
    "pipelines.read",
    "pipelines.run",
    "benchmarks.read",
    "benchmarks.run",
    "schedules.read",
    "schedules.write",
    "documents.read",
    "documents.write",
    "documents.manage",
    "chat",
    "keys.own",
    "keys.manage",
    "users.read",
    "users.manage",
    "credentials.read",
    "credentials.manage",
    "sign_in.manage",
    "agents.manage",
    "pipelines.manage",
    "tools.manage",
    "data_sources.manage",
    "configuration.manage",
    "usage.read",
    "audit.read",
    "privacy.manage",
    "webhooks.manage",
    "triggers.manage",
    "tenants.manage",
    "models.manage",
    "operations.read",
    "certificates.manage",
]
"""`self` is the right of every authenticated caller: to see who they are, and to sign out."""

ROLES: tuple[Role, ...] = get_args(Role)
RIGHTS: tuple[Right, ...] = get_args(Right)

VIEWER: tuple[Right, ...] = (
    "self",
    "jobs.read",
    "sessions.read",
    "models.read",
    "agents.read",
    "pipelines.read",
    "benchmarks.read",
    "schedules.read",
    "documents.read",
)
MEMBER: tuple[Right, ...] = (
    *(
        *VIEWER,
        "chat",
        "pipelines.run",
        "benchmarks.run",
        "schedules.write",
        "jobs.write",
        "sessions.write",
        "documents.write",
        "keys.own",
    ),
)
OWNER: tuple[Right, ...] = (
    *(*MEMBER, "keys.manage", "users.read", "users.manage", "credentials.read", "credentials.manage"),
    *("sign_in.manage", "agents.manage", "tools.manage", "data_sources.manage", "configuration.manage"),
    *("pipelines.manage", "documents.manage", "usage.read", "audit.read", "privacy.manage"),
    "webhooks.manage",
    "triggers.manage",
)
ADMIN: tuple[Right, ...] = (*OWNER, "tenants.manage", "models.manage", "operations.read", "certificates.manage")

RIGHTS_BY_ROLE: dict[Role, frozenset[Right]] = {
    "viewer": frozenset(VIEWER),
    "member": frozenset(MEMBER),
    "owner": frozenset(OWNER),
    "admin": frozenset(ADMIN),
}

SEES_ALL: frozenset[Role] = frozenset({"admin", "owner"})
"""Roles that see the data of all users in their tenant; others see only their own."""


def rights_for_role(role: Role, scopes: list[str] | None = None) -> frozenset[Right]:
    """Return the rights of a role, limited to `scopes` unless None. Unknown scopes are ignored."""
    rights = RIGHTS_BY_ROLE[role]
    return rights if scopes is None else frozenset(right for right in rights if right == "self" or right in scopes)
