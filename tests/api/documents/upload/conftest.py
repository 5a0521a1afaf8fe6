"""The application with small limits; whatever is uploaded, nothing may be left under way."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from api.settings import ApiSettings
from tests.api.documents.upload.uploads import LIMITS, under_way


@pytest.fixture(scope="module")
def settings(settings: ApiSettings) -> ApiSettings:
    return replace(settings, uploads=LIMITS, max_body=100_000)


@pytest.fixture(autouse=True)
def nothing_is_left_under_way(folder: Path) -> Iterator[None]:
    yield
    assert [] == under_way(folder)
