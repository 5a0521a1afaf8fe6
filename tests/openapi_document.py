"""The application as it is documented, built once for all tests of a process: half a second, and its document as much again.

Nothing is behind it, and nobody may change it. Tests that send requests build their own (`tests/api/conftest.py`).
"""

from functools import cache
from typing import Any

import msgspec
from litestar import Litestar

from api.app import create_app
from api.settings import ApiSettings
from tests.secret import VAULT


@cache
def documented_app() -> Litestar:
    """The application, which is never started."""
    return create_app(ApiSettings(database_url="postgresql://nowhere/x", redis_url="redis://nowhere/0", vault=VAULT))


@cache
def openapi_document() -> dict[str, Any]:
    """Its OpenAPI document, as a client reads it."""
    return msgspec.to_builtins(documented_app().openapi_schema.to_schema())
