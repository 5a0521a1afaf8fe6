"""Errors of tool calls; the tree continues that of `schema/errors.py`. Both the model and the user read the message, so it says
what to do next and never contains a traceback, a key, or a URL with its query.

    ToolFailed                the call returned nothing usable
    ├── ToolBadArguments      the arguments are invalid; names the field, and the model can call again
    ├── ToolTimeout           the call did not finish in time
    ├── ToolTooLarge          the input or output exceeds its limit
    ├── ToolRefused           not allowed: a right is missing, or a security rule forbids it
    ├── ToolUnconfirmed       not called, because the user has to confirm it first
    └── ToolUnavailable       a required service is down, returns an error, or isn't set up here
"""

from schema.errors import HeadraceError


class ToolFailed(HeadraceError):
    code = "tool_failed"


class ToolBadArguments(ToolFailed):
    code = "tool_bad_arguments"


class ToolTimeout(ToolFailed):
    code = "tool_timeout"


class ToolTooLarge(ToolFailed):
    code = "tool_too_large"


class ToolRefused(ToolFailed):
    code = "tool_refused"


class ToolUnconfirmed(ToolFailed):
    code = "tool_unconfirmed"


class ToolUnavailable(ToolFailed):
    """Has no code of its own; it is reported as `tool_failed`."""
