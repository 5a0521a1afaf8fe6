"""Errors of tool calls; the tree continues that of `schema/errors.py`. Both the model and the user read the message, so it says
what to do next and never contains a traceback, a key, or a URL with its query.

    ToolFailed                the call returned nothing usable
    ├── ToolBadArguments      names the field, and the model can call again
    ├── ToolTimeout
    ├── ToolTooLarge
    ├── ToolRefused
    ├── ToolUnavailable       a required service is down, returns an error, or isn't set up here
    ├── ToolUnknown           these three are of calls that were not made
    ├── ToolUnconfirmed
    └── ToolInterrupted

The first sentence of a class's docstring is its row in the table of tools' codes in `docs/api.md`.
"""

from schema.errors import HeadraceError


class ToolFailed(HeadraceError):
    """The call returned nothing usable: the service is down, refused the request or is not set up."""

    code = "tool_failed"


class ToolBadArguments(ToolFailed):
    """The arguments are invalid."""

    code = "tool_bad_arguments"


class ToolTimeout(ToolFailed):
    """The call did not finish in time."""

    code = "tool_timeout"


class ToolTooLarge(ToolFailed):
    """The input or the output exceeds its limit."""

    code = "tool_too_large"


class ToolRefused(ToolFailed):
    """Not allowed: a right is missing, or a security rule forbids it."""

    code = "tool_refused"


class ToolUnavailable(ToolFailed):
    """Has no code of its own; it is reported as `tool_failed`."""


class ToolUnknown(ToolFailed):
    """Not called: the agent has no such tool."""

    code = "tool_unknown"


class ToolUnconfirmed(ToolFailed):
    """Not called: it changes something, text from outside was read before, and the user has not confirmed it."""

    code = "tool_unconfirmed"


class ToolInterrupted(ToolFailed):
    """Not repeated: it changes something, and its worker was lost while it was called, so nobody knows how it ended."""

    code = "tool_interrupted"


NOT_CALLED: frozenset[str] = frozenset({ToolUnknown.code, ToolUnconfirmed.code, ToolInterrupted.code})
"""Codes of calls that were not made: their messages are ours, and for the model to follow."""
