"""A browser for each module of journeys, and visitors who are signed in."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Browser, async_playwright

from tests.conftest import TestTenant, make_tenant
from tests.journeys.console.chromium import launch, require_chromium, require_console
from tests.journeys.console.visitor import DESK, Visitor
from tests.system import System

Visit = Callable[..., Awaitable[Visitor]]


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    path = require_chromium()
    require_console()
    async with async_playwright() as playwright:
        chromium = await launch(playwright, path)
        yield chromium
        await chromium.close()


@pytest.fixture
def tenant(shared_url: str) -> TestTenant:
    """A tenant of the test's own, with an owner's key."""
    return make_tenant(shared_url, role="owner")


@pytest.fixture
async def visit(browser: Browser, system: System, tenant: TestTenant) -> AsyncIterator[Visit]:
    """A function that opens the console at a path, signed in with the tenant's key unless told otherwise."""
    contexts, visitors = [], []

    async def come(path: str = "", *, size: dict[str, Any] = DESK, signed_in: bool = True, **options: Any) -> Visitor:
        context = await browser.new_context(**size, reduced_motion="reduce", **options)
        contexts.append(context)
        visitor = await Visitor.come(context, system.url)
        visitors.append(visitor)
        await visitor.open(path)
        if signed_in:
            await visitor.sign_in(tenant.key)
        return visitor

    yield come
    for context in contexts:
        await context.close()
    for visitor in visitors:
        visitor.assert_calm()
