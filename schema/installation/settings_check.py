"""Finds every wrong and every unknown setting before a process starts, so that one start is enough to learn of all.

What is right is said by the readers of the settings themselves (`api/settings.py`, `workers/settings.py`, …).
"""

import base64
import difflib
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from schema.errors import HeadraceError, InputError

Reader = Callable[[Mapping[str, str]], object]

EXAMPLE = Path(__file__).parents[2] / ".env.example"
"""Names every setting, each on a line of its own; a test compares it with the code."""

NAME = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
DEVELOPMENT = ("HEADRACE_TESTS", "HEADRACE_SAMPLES", "HEADRACE_FLOOD", "HEADRACE_LATE_JOINS", "HEADRACE_VARIANT")
"""Read by tests and benchmarks, which pass them on to the processes that they start."""

SCRIPT = ("HEADRACE_STARTED_IN",)
"""Set by the script `headrace` for the commands behind it."""

COMPOSE = ("HEADRACE_PASSWORD",)
"""Read by `docker compose`, which shares `.env` with us."""

KUBERNETES = re.compile(r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
KUBERNETES_PORT = re.compile(r"(tcp|udp|sctp)://\S+:\d+")
"""Kubernetes sets such variables for each service of a namespace, named after it: also for one called `headrace`."""

KEYS, KEYS_FILE = "HEADRACE_SECRET_KEYS", "HEADRACE_SECRET_KEYS_FILE"
STAND_INS = {
    "HEADRACE_DATABASE_URL": "postgresql://headrace@127.0.0.1/headrace",
    "HEADRACE_REDIS_URL": "redis://127.0.0.1/0",
    KEYS: base64.urlsafe_b64encode(hashlib.sha256(b"stand-in").digest()).decode(),
}
"""What required settings are taken for while the others are checked; nothing is ever started with them."""


class SettingsInvalid(InputError):
    """Settings are wrong or unknown; the message has a line for each. A process ends with status 2 and isn't restarted."""

    def __init__(self, problems: Sequence[str]) -> None:
        lines = "".join(f"\n  {problem}" for problem in problems)
        super().__init__(problems[0] if len(problems) == 1 else f"{len(problems)} settings are wrong:{lines}")
        self.problems = tuple(problems)


def require_valid(env: Mapping[str, str], *readers: Reader) -> None:
    """Raise SettingsInvalid, which names all settings that a reader refuses and all unknown ones."""
    if problems := [*wrong_settings(env, *readers), *unknown_settings(env)]:
        raise SettingsInvalid(problems)


def wrong_settings(env: Mapping[str, str], *readers: Reader) -> list[str]:
    """What the readers refuse, one sentence for each setting."""
    problems: dict[str, str] = {}
    for read in readers:
        for message in _refusals(read, env):
            found = NAME.search(message)
            problems.setdefault(found[0] if found else message, message)
    return list(problems.values())


def unknown_settings(env: Mapping[str, str]) -> list[str]:
    """The variables that begin as our settings do and are none, each with the name that was probably meant."""
    known = _known_settings()
    return [_unknown(name, known) for name in sorted(env) if known and name not in known and _is_ours(name, env[name])]


def read_choice(env: Mapping[str, str], name: str, choices: Sequence[str]) -> str | None:
    """Return the value of a setting in lower case, None if it is not set. Raises ValueError if it is none of the choices."""
    text = env.get(name, "").strip()
    if text and text.lower() not in choices:
        raise ValueError(f"{name} is {text[:80]!r}; it must be {', '.join(choices[:-1])} or {choices[-1]}.")
    return text.lower() or None


def _refusals(read: Reader, env: Mapping[str, str]) -> Iterator[str]:
    """The messages of a reader that stops at the first wrong setting: it reads again without that one, until all is right."""
    left, refused = dict(env), set[str]()
    while True:
        try:
            read(left)
        except (ValueError, HeadraceError) as error:
            message = error.message if isinstance(error, HeadraceError) else str(error)
        else:
            return
        yield message
        names = set(NAME.findall(message))
        if not names - refused:  # it says no name, or is not content without it
            return
        refused |= names
        _take_out(left, names)


def _take_out(env: dict[str, str], names: set[str]) -> None:
    for name in names:
        env.pop(name, None)
    if KEYS_FILE in names:
        names = {*names, KEYS}
    env.update({name: value for name, value in STAND_INS.items() if name in names})


def _known_settings() -> frozenset[str]:
    """Every setting; empty where the example was not installed along with the code."""
    if not EXAMPLE.exists():
        return frozenset()
    return frozenset(
        [*re.findall(r"^#? ?(HEADRACE_\w+)=", EXAMPLE.read_text(), re.MULTILINE), *DEVELOPMENT, *SCRIPT, *COMPOSE]
    )


def _is_ours(name: str, value: str) -> bool:
    from_kubernetes = KUBERNETES.fullmatch(name) or (name.endswith("_PORT") and KUBERNETES_PORT.fullmatch(value))
    return name.startswith("HEADRACE_") and not from_kubernetes


def _unknown(name: str, known: frozenset[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.75)
    return f"There is no setting {name}. " + (f"Did you mean {near[0]}?" if near else ".env.example lists all.")
