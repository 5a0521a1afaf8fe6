"""Secrets at rest: keys and tokens of vendors, users and identity providers, encrypted before they reach the database.

Keys are Fernet keys (AES-128-CBC with HMAC-SHA-256). There may be several: the newest encrypts, all of them decrypt, so keys
can be rotated at run time (`./headrace rotate-keys`). Fernet has no associated data, and a ciphertext copied into another
tenant's row would decrypt there. So the plaintext names its owner, and `open` compares it.

Not here: which tables contain sealed secrets (`schema/queries/identity/secrets.py`), and hashes of API keys
(`schema/identity/api_keys.py`).
"""

import base64
import binascii
import hashlib
import hmac
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
"""The tenant of secrets that belong to no tenant, such as the keys that sign access tokens."""

KEYS = "HEADRACE_SECRET_KEYS"
KEYS_FILE = "HEADRACE_SECRET_KEYS_FILE"

RELOAD_INTERVAL_S = 1.0  # how often a process checks the keys file for a newer key before it seals
KEY_BYTES = 32
MIN_DISTINCT_BYTES = 16  # 32 random bytes have fewer distinct ones with a probability below 10⁻¹⁶
HOW_TO_CREATE = (
    "A key must be a Fernet key (32 random bytes in URL-safe base64); ./headrace rotate-keys --new creates one."
)


@dataclass(frozen=True)
class Sealed:
    """A ciphertext and the id of its key, stored in two columns of a row."""

    key_id: str
    sealed: bytes = field(repr=False)


class Vault:
    """The keys that this process knows. The `repr` shows their ids, never the keys.

    `key_ids` are in the order of the keys, newest first. A `file` is read again when it changes, so a new key needs no
    restart.
    """

    def __init__(self, keys: Sequence[str], *, file: Path | None = None) -> None:
        """Raises ValueError if a key is invalid; the message has its position, not its value."""
        self._set_keys(keys)
        self._file, self._checked_at = file, time.monotonic()
        self._changed_at = _changed_at(file)

    def _set_keys(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ValueError(f"there is no key. {HOW_TO_CREATE}")
        key_ids = tuple(_key_id(key, place) for place, key in enumerate(keys, 1))
        for place, key_id in enumerate(key_ids):
            if key_id in key_ids[:place]:
                first = key_ids.index(key_id) + 1
                raise ValueError(f"key {place + 1} is a duplicate of key {first}. Remove one of them.")
        self.key_ids, self._fernet = key_ids, MultiFernet([Fernet(key) for key in keys])
        self._derivation_key = base64.urlsafe_b64decode(keys[0])

    def _reload(self) -> None:
        """Read the file again if it has changed. An invalid file is logged and ignored."""
        self._checked_at = time.monotonic()
        changed_at = _changed_at(self._file)
        if self._file is None or changed_at in (None, self._changed_at):
            return
        try:
            self._set_keys(read_keys_file(self._file))
            self._changed_at = changed_at
            log.info("secret_keys_read", newest=self.newest, known=len(self.key_ids))
        except ValueError as error:
            log.error("secret_keys_unusable", reason=str(error))

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Vault":
        """Read the keys from HEADRACE_SECRET_KEYS (separated by commas) or from the file HEADRACE_SECRET_KEYS_FILE
        (`read_keys_file`), newest first. Raises ValueError with the setting's name and what it must be."""
        text, file = env.get(KEYS, "").strip(), env.get(KEYS_FILE, "").strip()
        if text and file:
            raise ValueError(f"{KEYS} and {KEYS_FILE} are both set. Set only one of them.")
        if not text and not file:
            raise ValueError(f"Neither {KEYS} nor {KEYS_FILE} is set. {HOW_TO_CREATE}")
        try:
            if text:
                return cls([key.strip() for key in text.split(",")])
            return cls(read_keys_file(Path(file)), file=Path(file))
        except ValueError as error:
            raise ValueError(f"{KEYS if text else KEYS_FILE}: {error}") from None

    @property
    def newest(self) -> str:
        """The id of the key that encrypts."""
        return self.key_ids[0]

    def __repr__(self) -> str:
        return f"Vault(key_ids={list(self.key_ids)})"

    def seal(self, secret: str, *, tenant_id: UUID, owner_id: UUID) -> Sealed:
        """Encrypt `secret` with the newest key, bound to the row `owner_id` of this tenant (or PLATFORM)."""
        if time.monotonic() > self._checked_at + RELOAD_INTERVAL_S:
            self._reload()
        bound = {"tenant_id": str(tenant_id), "owner_id": str(owner_id), "secret": secret}
        return Sealed(self.newest, self._fernet.encrypt(json.dumps(bound).encode()))

    def open(self, sealed: Sealed, *, tenant_id: UUID, owner_id: UUID) -> str:
        """Return the secret. Raises SecretUnreadable for an unknown key, a damaged ciphertext, or one of another row."""
        if sealed.key_id not in self.key_ids:
            self._reload()
        if sealed.key_id not in self.key_ids:
            raise SecretUnreadable(f"The key {sealed.key_id!r} of a stored secret is not known to this process.")
        bound = self._decrypt(sealed.sealed)
        # Raised here and not in an `except`: the error of the JSON parser would carry the plaintext as its context.
        if bound is None:
            raise SecretUnreadable("A stored secret is damaged, or was not encrypted with the key that it names.")
        if (bound.get("tenant_id"), bound.get("owner_id")) != (str(tenant_id), str(owner_id)):
            raise SecretUnreadable("A stored secret was encrypted for another row than the one that it is in.")
        return bound["secret"]

    def reseal(self, sealed: Sealed, *, tenant_id: UUID, owner_id: UUID) -> Sealed:
        """Return the secret encrypted with the newest key. Raises SecretUnreadable, as `open` does."""
        secret = self.open(sealed, tenant_id=tenant_id, owner_id=owner_id)
        return self.seal(secret, tenant_id=tenant_id, owner_id=owner_id)

    def derive(self, purpose: str, data: bytes) -> bytes:
        """Return 32 bytes that follow from `data`, the purpose and the newest key; nobody without the key can compute them."""
        return hmac.digest(self._derivation_key, purpose.encode() + b"\0" + data, "sha256")

    def is_current(self, key_id: str) -> bool:
        """Whether a key is the newest, so that its ciphertexts need no rotation."""
        return key_id == self.newest

    def check_known(self, key_ids: Iterable[str]) -> None:
        """Raise ValueError with the unknown ids: a process without a key that is in use must not start."""
        unknown = sorted(set(key_ids) - set(self.key_ids))
        if unknown:
            raise ValueError(
                f"Stored secrets were encrypted with unknown keys: {', '.join(unknown)}. The known keys are "
                f"{', '.join(self.key_ids)}. Add the missing ones to {KEYS} or {KEYS_FILE}, after the newest."
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
    """Return a new key in plain text."""
    return Fernet.generate_key().decode()


def read_keys_file(file: Path) -> list[str]:
    """Return the keys of a file: one per line, newest first, `#` starts a comment. Raises ValueError if it can't be read.

    The message does not contain the name, which may be a key that was put into the wrong setting.
    """
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError as error:
        raise ValueError(f"the file can't be read ({error.strerror}). It must have one Fernet key per line.") from None
    return [key for line in lines if (key := line.partition("#")[0].strip())]


def _key_id(key: str, place: int) -> str:
    """Return the id of the key at `place` (from 1): 12 hex digits of its SHA-256. Raises ValueError if it is invalid."""
    try:
        raw = base64.b64decode(key.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raw = b""
    if len(raw) != KEY_BYTES:
        raise ValueError(f"key {place} is not a valid key. {HOW_TO_CREATE}")
    if len(set(raw)) < MIN_DISTINCT_BYTES:
        raise ValueError(f"key {place} is not random enough. {HOW_TO_CREATE}")
    return hashlib.sha256(raw).hexdigest()[:12]
