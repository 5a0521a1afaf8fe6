"""Which of an agent's tools are offered for a question, where it has more than may be offered.

First those that share words, concepts or the form of a code with the question, then by priority, then by likeness of meaning.
A small model that sees thirteen tools chooses worse than one that sees five, and the right one must be among these.
"""

from collections.abc import Callable, Sequence

from graphs.providers.offline.tool_choice import Tool as ReadTool
from graphs.providers.offline.tool_choice import score_tool
from tools.contract import Tool

Likeness = Callable[[str, Sequence[str]], Sequence[float]]
"""Returns how alike a text is with each of others, higher is more."""
EARLIER = 0.5
"""What the message before counts: "and tomorrow?" needs the tool of the question that it follows."""
MAX_QUESTION_CHARS = 600


def choose_offered(
    question: str, earlier: str, tools: Sequence[Tool], priority: Callable[[Tool], float], likeness: Likeness
) -> list[Tool]:
    """Return the tools, those that fit the question best first. `earlier` is what the user said before it, or empty."""
    read = [ReadTool(one.spec.name, one.spec.description, one.spec.parameters) for one in tools]
    fits = [_fit(question, one, read) + EARLIER * _fit(earlier, one, read) for one in read]
    alike = likeness(question, [f"{one.name.replace('_', ' ')}. {one.description}" for one in read])
    order = sorted(range(len(tools)), key=lambda at: (-fits[at], -priority(tools[at]), -alike[at]))
    return [tools[at] for at in order]


def _fit(text: str, tool: ReadTool, tools: Sequence[ReadTool]) -> float:
    return score_tool(text[:MAX_QUESTION_CHARS], tool, tools) if text.strip() else 0.0
