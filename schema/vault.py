"""Secrets at rest: what a vendor, a user or an identity provider trusted us with, sealed before it reaches the database.

A key is a Fernet key (AES-128-CBC with HMAC-SHA-256). Several may be known: the newest seals, all of them open, so keys are
rotated while everything runs (`./headrace rotate-keys`). Fernet has no associated data, and a ciphertext copied into the
row of another tenant would open there. So what is sealed names its owner, and opening compares.

Not here: which tables hold sealed secrets (`schema/queries/identity/secrets.py`), and hashes of API keys
(`schema/api_keys.py`).
"""

import base64
import binascii
import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from schema.errors import SecretUnreadable

log = structlog.get_logger()

PLATFORM = UUID(int=0)
"""The tenant of what belongs to no tenant, such as the keys that sign our own tokens."""

KEYS = "HEADRACE_SECRET_KEYS"
KEYS_FILE = "HEADRACE_SECRET_KEYS_FILE"

LOOK_S = 1.0  # how often a process that seals looks whether there is a newer key
KEY_BYTES = 32
LEAST_DISTINCT = 16  # of 32 random bytes, fewer than 16 different ones have a chance below 10⁻¹⁶
HOW_TO_MAKE = "Right is a Fernet key (32 random bytes in URL-safe base64); make one with ./headrace rotate-keys --new."


@dataclass(frozen=True)
class Sealed:
    """A ciphertext and the id of the key that opens it, as two columns of a row hold them."""

    key_id: str
    sealed: bytes = field(repr=False)


class Vault:
    """The keys that this process knows; its `repr` shows their ids, never the keys.

    `key_ids` are in the order of the keys, newest first. Keys of a `file` are read again when it has changed, so a new one
    needs no restart.
    """

    def __init__(self, keys: Sequence[str], *, file: Path | None = None) -> None:
        """Raises ValueError that says which of the keys can't be used, by its place and not by its value."""
        self._take(keys)
        self._file, self._looked_at = file, time.monotonic()
        self._changed_at = _changed_at(file)

    def _take(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ValueError(f"there is no key. {HOW_TO_MAKE}")
        key_ids = tuple(_key_id(key, place) for place, key in enumerate(keys, 1))
        for place, key_id in enumerate(key_ids):
            if key_id in key_ids[:place]:
                first = key_ids.index(key_id) + 1
                raise ValueError(f"key {place + 1} is the same as key {first}. Remove one of them.")
        self.key_ids, self._fernet = key_ids, MultiFernet([Fernet(key) for key in keys])

    def _look(self) -> None:
        """Read the file again if it has changed; one that can't be used changes nothing."""
        self._looked_at = time.monotonic()
        changed_at = _changed_at(self._file)
        if self._file is None or changed_at in (None, self._changed_at):
            return
        try:
            self._take(read_keys_file(self._file))
            self._changed_at = changed_at
            log.info("secret_keys_read", newest=self.newest, known=len(self.key_ids))
        except ValueError as error:
            log.error("secret_keys_unusable", reason=str(error))

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Vault":
        """Read the keys from HEADRACE_SECRET_KEYS (separated by commas) or from the file that HEADRACE_SECRET_KEYS_FILE
        names (`read_keys_file`), newest first. Raises ValueError that names the setting and says what is right."""
        text, file = env.get(KEYS, "").strip(), env.get(KEYS_FILE, "").strip()
        if text and file:
            raise ValueError(f"{KEYS} and {KEYS_FILE} are both set; set the one that holds the keys.")
        if not text and not file:
            raise ValueError(f"Neither {KEYS} nor {KEYS_FILE} is set. {HOW_TO_MAKE}")
        try:
            if text:
                return cls([key.strip() for key in text.split(",")])
            return cls(read_keys_file(Path(file)), file=Path(file))
        except ValueError as error:
            raise ValueError(f"{KEYS if text else KEYS_FILE}: {error}") from None

    @property
    def newest(self) -> str:
        """The id of the key that seals."""
        return self.key_ids[0]

    def __repr__(self) -> str:
        return f"Vault(key_ids={list(self.key_ids)})"

    def seal(self, secret: str, *, tenant_id: UUID, owner_id: UUID) -> Sealed:
        """Encrypt `secret` with the newest key, for the row `owner_id` of this tenant only (or of PLATFORM)."""
        if time.monotonic() > self._looked_at + LOOK_S:
            self._look()
        bound = {"tenant_id": str(tenant_id), "owner_id": str(owner_id), "secret": secret}
        return Sealed(self.newest, self._fernet.encrypt(json.dumps(bound).encode()))

    def open(self, sealed: Sealed, *, tenant_id: UUID, owner_id: UUID) -> str:
        """Return the secret. Raises SecretUnreadable for an unknown key, a broken text and one of another row."""
        if sealed.key_id not in self.key_ids:
            self._look()
        if sealed.key_id not in self.key_ids:
            raise SecretUnreadable(f"This process does not know the key {sealed.key_id!r} of a stored secret.")
        bound = self._decrypt(sealed.sealed)
        # Raised outside of the `except` in there: an error of the JSON parser carries the whole plaintext with it.
        if bound is None:
            raise SecretUnreadable("A stored secret is damaged, or was not sealed with the key that it names.")
        if (bound.get("tenant_id"), bound.get("owner_id")) != (str(tenant_id), str(owner_id)):
            raise SecretUnreadable("A stored secret was sealed for another owner than the row that it stands in.")
        return bound["secret"]

    def reseal(self, sealed: Sealed, *, tenant_id: UUID, owner_id: UUID) -> Sealed:
        """Return the same secret under the newest key. Raises SecretUnreadable as `open` does: it compares the owner too."""
        secret = self.open(sealed, tenant_id=tenant_id, owner_id=owner_id)
        return self.seal(secret, tenant_id=tenant_id, owner_id=owner_id)

    def is_current(self, key_id: str) -> bool:
        """Whether that key is the newest, so that what it sealed can stay as it is."""
        return key_id == self.newest

    def check_known(self, key_ids: Iterable[str]) -> None:
        """Raise ValueError that names the ids which are not ours: a process without a key in use must not start."""
        unknown = sorted(set(key_ids) - set(self.key_ids))
        if unknown:
            raise ValueError(
                f"Stored secrets were sealed with keys that are not known here: {', '.join(unknown)}. Known are "
                f"{', '.join(self.key_ids)}. Put the missing keys into {KEYS} or {KEYS_FILE}, behind the newest."
            )

    def _decrypt(self, ciphertext: bytes) -> dict[str, Any] | None:
        try:
            bound: Any = json.loads(self._fernet.decrypt(ciphertext))
        except (InvalidToken, ValueError):
            return None
        if not isinstance(bound, dict):
            return None
        found = cast(dict[str, Any], bound)
        return found if isinstance(found.get("secret"), str) else None


def _changed_at(file: Path | None) -> int | None:
    try:
        return file.stat().st_mtime_ns if file else None
    except OSError:
        return None


def new_secret_key() -> str:
    """Return a fresh key in plain text."""
    return Fernet.generate_key().decode()


def read_keys_file(file: Path) -> list[str]:
    """Return the keys of a file: one a line, newest first, `#` begins a comment. Raises ValueError if it can't be read.

    The name is not repeated, because a key that was put into the wrong setting would be.
    """
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError as error:
        raise ValueError(
            f"the file can't be read ({error.strerror}). Right is a file, one Fernet key a line."
        ) from None
    return [key for line in lines if (key := line.partition("#")[0].strip())]


def _key_id(key: str, place: int) -> str:
    """Return the id of the key at `place` (from 1), 12 hex digits of its SHA-256. Raises ValueError for a bad one."""
    try:
        raw = base64.b64decode(key.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raw = b""
    if len(raw) != KEY_BYTES:
        raise ValueError(f"key {place} is not a key. {HOW_TO_MAKE}")
    if len(set(raw)) < LEAST_DISTINCT:
        raise ValueError(f"key {place} is not random, as an example's key would be. {HOW_TO_MAKE}")
    return hashlib.sha256(raw).hexdigest()[:12]
