"""Options of a request and the fields of LangChain's classes that they are: a class takes those that it has a field for.

Nothing else of a request can set a field: addresses and keys are fields, too.
"""

from collections.abc import Iterable, Mapping
from typing import Any

FIELDS: Mapping[str, tuple[str, ...]] = {
    "max_tokens": ("max_tokens", "max_output_tokens", "num_predict", "max_new_tokens", "max_tokens_to_sample"),
    "reasoning_effort": ("reasoning_effort", "thinking_level"),
}
"""The names of fields for an option that are not just its own."""

OPTIONS = frozenset(
    {"temperature", "top_p", "max_tokens", "seed", "presence_penalty", "frequency_penalty", "reasoning_effort"}
)
"""Options of a request that are fields of many classes."""

EXTRAS = frozenset(
    {
        *("logit_bias", "logprobs", "top_logprobs", "service_tier", "store", "verbosity", "min_p", "top_k"),
        *("mirostat", "mirostat_eta", "mirostat_tau", "num_ctx", "repeat_last_n", "repeat_penalty", "tfs_z"),
    }
)
"""Extras of a request that are fields of some."""

ALWAYS = frozenset({"max_tokens_name", "stop", "tools", "tool_choice", "response_format", "extra"})
"""Options that every class takes, or that are refused where it doesn't."""


def field_of(option: str, fields: Iterable[str]) -> str | None:
    """Return the field of a class that an option is; None if it has none."""
    return next((name for name in FIELDS.get(option, (option,)) if name in fields), None)


def ignored_by(takes: Iterable[str], options: Mapping[str, Any]) -> set[str]:
    """Return the names of a request's options, and of its extras, that a class has no field for."""
    taken = {*takes}
    extras = options.get("extra", {})
    return {name for name in (*options, *extras) if name not in taken and name not in ALWAYS}
