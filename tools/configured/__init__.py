"""Tools that are rows, not code: an admin configures what to call and with which arguments, and agents can use it at once.

    definition.py   the row: name, kind, endpoint, headers, parameters, limits
    validation.py   `check_definition`: validates a row; errors name the field
    build.py        `build_tool`: makes a tool from a row
    kinds.py        the table of kinds; each kind is one file
    kind.py         what a kind consists of, and how its config is read
    endpoints.py    URLs with `{name}` in their path, filled so that no value can leave its path segment
    headers.py      headers with `{{secret:NAME}}`, a token, and redacting both from responses
    templates.py    JSON with `{name}` in it: values are inserted, text is never concatenated
    responses.py    turns a service's JSON into what a model reads
    web_calls.py    how all kinds with an endpoint call it
    http_get.py, http_post.py, sql.py, rag.py, ocr.py, cube.py with cube_query.py   the kinds

A new kind is one file and one line in `kinds.py`.
"""

from tools.configured.build import build_tool
from tools.configured.definition import ToolDefinition
from tools.configured.validation import check_definition

__all__ = ["ToolDefinition", "build_tool", "check_definition"]
