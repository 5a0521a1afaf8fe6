"""Tenants whose keys are their owners': they manage what their agents are, may do and know."""

import pytest

from tests.conftest import TestTenant, make_tenant


@pytest.fixture
def tenant(owner: TestTenant) -> TestTenant:
    return owner


@pytest.fixture
def stranger(database_url: str) -> TestTenant:
    """Another tenant's owner."""
    return make_tenant(database_url, role="owner")
