"""The keys that open an installation's secrets: which are at hand, and copies of them in files of their own.

A backup never holds them: who finds it shall not find with it what opens the secrets in it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from api.local.errors import LocalError
from api.local.home import write_private
from api.local.keys import VAULT_KEYS
from schema.vault import KEYS, KEYS_FILE, Vault, read_keys_file


def keys_at_hand(environ: Mapping[str, str], home: Path) -> list[str]:
    """Return the keys that an installation with these settings has, newest first; none if it has none yet."""
    try:
        if text := environ.get(KEYS, "").strip():
            return [key.strip() for key in text.split(",")]
        file = Path(environ.get(KEYS_FILE, "").strip() or home / VAULT_KEYS)
        return read_keys_file(file) if file.exists() else []
    except ValueError as error:
        raise LocalError(f"{KEYS_FILE}: {error}") from None


def read_copy(file: Path) -> list[str]:
    """Return the keys of a copy. Raises LocalError if it isn't one."""
    try:
        keys = read_keys_file(file)
        Vault(keys)
    except ValueError as error:
        raise LocalError(f"{file} is no file of keys: {error}") from None
    return keys


def write_copy(file: Path, keys: Sequence[str]) -> None:
    """Write the keys to a new file that only its owner reads."""
    if file.exists():
        raise LocalError(f"{file} exists already. Name another file for the keys.")
    try:
        write_private(file, "".join(f"{key}\n" for key in keys))
    except OSError as error:
        raise LocalError(f"{file} is not writable ({error.strerror}).") from error


def joined(ours: Sequence[str], theirs: Sequence[str]) -> list[str]:
    """Return the keys that open what either opens; ours, if there are any, go on to encrypt."""
    return [*ours, *(key for key in theirs if key not in ours)]


def ids_of(keys: Sequence[str]) -> tuple[str, ...]:
    """Return the ids of keys, which stand beside everything that they sealed and tell nothing of them."""
    return tuple(Vault(keys).key_ids) if keys else ()


def are_foreign(keys: Sequence[str], ids: Sequence[str]) -> bool:
    """Whether none of these keys is among those that were at hand at a backup; False if that can't be known."""
    return bool(keys and ids) and not set(ids_of(keys)) & set(ids)


def require_keys(vault_keys: Sequence[str], key_ids: Mapping[str, int]) -> None:
    """Raise LocalError unless the keys open all that was sealed with keys of these ids."""
    known = ids_of(vault_keys)
    missing = [f"{key_id} ({rows} secrets)" for key_id, rows in sorted(key_ids.items()) if key_id not in known]
    if missing:
        raise LocalError(
            f"The keys that open the secrets of this backup are not here, so nothing was changed. Missing: "
            f"{', '.join(missing)}; here: {', '.join(known) or 'none'}. Name the copy of the keys with --keys FILE, or set "
            f"{KEYS} or {KEYS_FILE}."
        )


def keep(home: Path, keys: Sequence[str]) -> None:
    """Make these the keys of the data folder."""
    write_private(home / VAULT_KEYS, "".join(f"{key}\n" for key in keys))
