"""The check of all settings of a stack, before anything of it is started."""

from collections.abc import Mapping

from api.local.stack_settings import settings_from, without_own_exports
from schema.installation.settings_check import KEYS, KEYS_FILE, STAND_INS, require_valid


def check_all_settings(environ: Mapping[str, str]) -> None:
    """Read every setting that a process of the stack will read. Raises SettingsInvalid, which names all that are wrong."""
    from api.settings import ApiSettings
    from workers.settings import settings_from as worker_settings_from

    given = without_own_exports(environ)
    made = {name: value for name, value in STAND_INS.items() if not given.get(name)}
    if given.get(KEYS_FILE):
        made.pop(KEYS, None)
    require_valid(given | made, settings_from, ApiSettings.from_env, worker_settings_from)
