"""What is sealed with an endpoint: the secret that signs, former ones for a day after each rotation, and headers of its own."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from schema.vault import Sealed, Vault
from workers.webhooks.signing import new_secret

OVERLAP = timedelta(hours=24)
"""How long a former secret signs, too."""
MAX_FORMER = 5
"""Former secrets that are kept; each rotation within a day adds one, and each signs every message."""


def now_utc() -> datetime:
    """Return the time now."""
    return datetime.now(UTC)


class FormerSecret(msgspec.Struct, frozen=True):
    """A secret that still signs until `until`."""

    secret: str
    until: datetime

    def __repr__(self) -> str:
        return f"FormerSecret(until={self.until})"


class EndpointSecrets(msgspec.Struct, frozen=True):
    """The secrets and headers of one endpoint."""

    secret: str
    former: tuple[FormerSecret, ...] = ()
    headers: dict[str, str] = {}

    def __repr__(self) -> str:
        return "EndpointSecrets(…)"

    def signing(self, now: datetime) -> list[str]:
        """Return the secrets that sign now, the newest first."""
        return [self.secret, *(former.secret for former in self.former if former.until > now)]

    def former_until(self, now: datetime) -> datetime | None:
        """Return until when a former secret signs, too; None if none does."""
        return max((former.until for former in self.former if former.until > now), default=None)

    def rotated(self, secret: str | None = None, *, now: datetime | None = None) -> "EndpointSecrets":
        """Return these with a new secret, or the given one, beside the present one for a day."""
        now = now or now_utc()
        kept = [former for former in self.former if former.until > now][: MAX_FORMER - 1]
        former = (FormerSecret(self.secret, now + OVERLAP), *kept)
        return msgspec.structs.replace(self, secret=secret or new_secret(), former=former)

    def with_headers(self, headers: Mapping[str, str]) -> "EndpointSecrets":
        """Return these with other headers."""
        return msgspec.structs.replace(self, headers=dict(headers))


def seal_secrets(vault: Vault, secrets: EndpointSecrets, tenant_id: UUID, owner_id: UUID) -> Sealed:
    """Encrypt them for the row `owner_id`: an endpoint, or the tenant itself for its callbacks."""
    return vault.seal(msgspec.json.encode(secrets).decode(), tenant_id=tenant_id, owner_id=owner_id)


def open_secrets(vault: Vault, sealed: Sealed, tenant_id: UUID, owner_id: UUID) -> EndpointSecrets:
    """Decrypt them. Raises SecretUnreadable."""
    return msgspec.json.decode(vault.open(sealed, tenant_id=tenant_id, owner_id=owner_id), type=EndpointSecrets)
