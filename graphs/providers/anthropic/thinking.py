"""How much a model is to think: OpenAI's `reasoning_effort` as what a Claude model takes.

Newer models think as much as they find right, and take an effort; older ones take a number of tokens. Some can't be told not
to think (platform.claude.com/docs/en/build-with-claude/thinking).
"""

from typing import Any

from graphs.providers.anthropic.model_facts import EFFORTS, ModelFacts

BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 32_000, "max": 48_000}
MIN_BUDGET = 1024
NONE = "none"


def thinking_fields(effort: str, facts: ModelFacts, *, max_tokens: int, forced_tool: bool) -> dict[str, Any]:
    """Return the fields `thinking` and `output_config` of a request; empty for an effort that nobody knows."""
    if effort == NONE:
        return _resting(facts)
    if effort not in BUDGETS:
        return {}
    level = _nearest(effort, facts.efforts)
    fields: dict[str, Any] = {"output_config": {"effort": level}} if level else {}
    if facts.adaptive:
        return {**fields, "thinking": {"type": "adaptive", "display": "summarized"}}
    # At least half of the answer's tokens are left for its words.
    budget = min(BUDGETS[effort], max_tokens // 2)
    # A model that is given a budget can't be forced to call a tool: the vendor refuses both together.
    if not facts.budget or forced_tool or budget < MIN_BUDGET:
        return fields
    return {**fields, "thinking": {"type": "enabled", "budget_tokens": budget}}


def _resting(facts: ModelFacts) -> dict[str, Any]:
    if facts.can_rest and (facts.budget or facts.adaptive):
        return {"thinking": {"type": "disabled"}}
    return {"output_config": {"effort": facts.efforts[0]}} if facts.efforts else {}


def _nearest(effort: str, levels: tuple[str, ...]) -> str | None:
    """Return the highest level that is not above the effort, else the lowest."""
    if not levels:
        return None
    wanted = max(EFFORTS.index(effort), 0) if effort in EFFORTS else 0
    return next((level for level in reversed(levels) if EFFORTS.index(level) <= wanted), levels[0])
