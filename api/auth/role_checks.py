"""Identity checks: valid email addresses, who may manage whom, and where a request came from."""

import re
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request
from msgspec import Meta

from api.auth.principals import Principal, client_address
from api.http.rows import from_row
from schema.errors import Forbidden, InputError
from schema.identity.rights import RIGHTS, ROLES, Role, rights_for_role
from schema.queries.identity.users import SignInUser, User

EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,189}")


def read_email(text: str, field: str = "email") -> str:
    """Return an email address as it is stored, in lower case. Raises InputError that names `field`."""
    email = text.strip().lower()
    if not EMAIL.fullmatch(email):
        raise InputError(f"{field} must be an email address such as ada@example.com.", field=field)
    return email


def is_at_most(role: Role, highest: Role) -> bool:
    """Whether a role is `highest` or below."""
    return ROLES.index(role) >= ROLES.index(highest)


def require_may_manage(principal: Principal, role: Role) -> None:
    """Raise Forbidden unless the caller has every right of this role. Whoever can create, change or export a user can act as
    them: a narrowed key could remove its narrowing that way."""
    missing = rights_for_role(role) - principal.rights
    if is_at_most(role, principal.role) and not missing:
        return
    if not is_at_most(role, principal.role):
        raise Forbidden(
            f"Your role ({principal.role}) does not allow managing users with the role {role}.", field="role"
        )
    first = next(right for right in RIGHTS if right in missing)
    raise Forbidden(
        f"Managing users with the role {role} requires all of that role's rights; your API key does not include {first!r}.",
        field="role",
    )


class SignedInUserOut(msgspec.Struct, frozen=True, kw_only=True):
    """The signed-in user."""

    id: Annotated[UUID, Meta(description="Id of the user.")]
    email: Annotated[str, Meta(description="Email address.")]
    name: Annotated[str, Meta(description="Display name.")]
    role: Annotated[Role, Meta(description="Role in the tenant.")]


def signed_in_user_out(user: User | SignInUser) -> SignedInUserOut:
    """Return a user as they see themselves."""
    return from_row(SignedInUserOut, user)


@dataclass(frozen=True)
class ClientInfo:
    """Where a request came from, as recorded with sign-ins and in the audit log. `client` is the User-Agent."""

    address: str | None
    client: str | None
    request_id: str | None


def read_client_info(request: Request[Any, Any, Any]) -> ClientInfo:
    """Return where a request came from."""
    client = request.headers.get("user-agent", "").replace("\0", "")[:200] or None
    return ClientInfo(client_address(request), client, request.scope.get("request_id"))
