"""What can go wrong with a tool call; it goes on from `schema/errors.py`. The model and the user both read the sentence,
so it says what to do next and never holds a traceback, a key, or an address with its query.

    ToolFailed                a call of a tool brought nothing that can be used
    ├── ToolBadArguments      the arguments don't fit; names the field, and the model can call again
    ├── ToolTimeout           it did not end in its time
    ├── ToolTooLarge          what went in or came out is larger than it may be
    ├── ToolRefused           not allowed: a right is missing, or a rule of safety forbids it
    └── ToolUnavailable       a service that it needs is away, answers with an error, or isn't set up here
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


class ToolUnavailable(ToolFailed):
    """Has no code of its own: for whoever counts errors it is the plain `tool_failed`."""
