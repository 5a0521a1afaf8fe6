"""Parameters of a request that are not in OpenAI's protocol, or that only the vendor understands, and who takes them.

Vendors of OpenAI's protocol get them as they came. Ollama has its own places for some. Others ignore them, and callers are
told so.
"""

from collections.abc import Iterable, Mapping
from typing import Any

OLLAMA_OPTIONS = frozenset(
    {
        *(
            "min_p",
            "mirostat",
            "mirostat_eta",
            "mirostat_tau",
            "num_batch",
            "num_ctx",
            "num_gpu",
            "num_keep",
            "num_thread",
        ),
        *("penalize_newline", "repeat_last_n", "repeat_penalty", "tfs_z", "top_k", "typical_p"),
    }
)
"""Extras that are members of `options` in a request to Ollama."""

OLLAMA_FIELDS = frozenset({"keep_alive", "think"})
"""Extras that are fields of such a request."""

OPTIONS = "options"
"""An extra with Ollama's options under their own names."""


def ignored_extras(provider: str, names: Iterable[str]) -> list[str]:
    """Return the names of extras that a provider has no place for, sorted."""
    match provider:
        case "offline":
            return sorted(names)
        case "ollama":
            return sorted(set(names) - OLLAMA_OPTIONS - OLLAMA_FIELDS - {OPTIONS})
        case _:
            return []


def ollama_options(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a request to Ollama that its extras name."""
    given = extra.get(OPTIONS)
    named = {name: extra[name] for name in OLLAMA_OPTIONS & extra.keys()}
    return {**(given if isinstance(given, dict) else {}), **named}


def ollama_fields(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a request to Ollama that its extras name."""
    return {name: extra[name] for name in OLLAMA_FIELDS & extra.keys()}
