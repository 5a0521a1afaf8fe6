"""The keys of a data folder: the demo tenant's, the admin's, and those that seal secrets at rest."""

from collections.abc import Mapping
from pathlib import Path

from api.local.home import read_or_create, read_text, write_private

VAULT_KEYS = "secret.keys"


def demo_key(home: Path) -> str:
    """The demo tenant's API key: made once, kept where only the owner of the folder reads it."""
    from schema.identity.api_keys import new_api_key

    return read_or_create(home / "demo.key", new_api_key)


def admin_key(home: Path) -> str | None:
    """The key of the installation's admin, if it was made from this folder."""
    return read_text(home / "admin.key") or None


def ensure_admin_key(home: Path, database_url: str) -> None:
    """Make sure that the installation has an admin; a key that is made for that is kept where only the owner reads it."""
    from schema.identity.api_keys import new_api_key
    from schema.installation.bootstrap import ensure_platform_admin, is_admin_key

    kept = admin_key(home)
    # On disk before it is in the database: otherwise a full disk would leave an admin whose key nobody has.
    draft = home / "new.admin.key"
    candidate = kept or read_or_create(draft, new_api_key)
    made = ensure_platform_admin(database_url, candidate)
    if made and made != candidate:
        write_private(home / "admin.key", made)
    elif not kept and is_admin_key(database_url, candidate):
        draft.rename(home / "admin.key")
    draft.unlink(missing_ok=True)


def secret_keys_file(home: Path) -> Path:
    """The keys that seal secrets at rest (`schema/vault.py`): the file is made once, with one fresh key."""
    from schema.vault import new_secret_key

    read_or_create(home / VAULT_KEYS, lambda: f"{new_secret_key()}\n")
    return home / VAULT_KEYS


def secret_key_settings(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """Where the vault's keys are: what the environment says of them, else the file of the data folder."""
    from schema.vault import KEYS, KEYS_FILE

    told = {name: environ[name] for name in (KEYS, KEYS_FILE) if environ.get(name)}
    return told or {KEYS_FILE: str(secret_keys_file(home))}
