"""Tools that are rows, not code: an admin says what to call and with which arguments, and an agent can use it at once.

    definition.py   the row: name, kind, address, headers, parameters, limits
    checking.py     `check_definition`: what is wrong with a row, with the name of the field
    building.py     `build_tool`: the row as a tool
    kinds.py        the table of kinds; each kind is one file
    kind.py         what a kind says of itself, and reading its part of a row
    endpoints.py    addresses with `{name}` in their path, filled so that no value can leave its place
    headers.py      headers with `{{secret:NAME}}`, the caller's own token, and hiding both from what comes back
    templates.py    JSON with `{name}` in it: values are put in, text is never pasted together
    answers.py      from a service's JSON to what a model reads
    web_calls.py    the one way in which kinds with an address call it

A new kind is one file and one line in `kinds.py`.
"""

from tools.configured.build import build_tool
from tools.configured.definition import ToolDefinition
from tools.configured.validation import check_definition

__all__ = ["ToolDefinition", "build_tool", "check_definition"]
