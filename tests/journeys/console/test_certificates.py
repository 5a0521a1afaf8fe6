"""What platform admins do with certificates in the browser."""

from playwright.async_api import expect

from schema.ids import new_id
from schema.installation.bootstrap import add_platform_admin
from tests.journeys.console.conftest import Visit
from tests.journeys.console.visitor import PHONE
from tests.workers.certificates.authority import Authority

AUTHORITY = Authority()


async def test_an_admin_uploads_requests_and_deletes_certificates(visit: Visit, shared_url: str) -> None:
    key = add_platform_admin(shared_url)
    visitor = await visit("certificates", signed_in=False, locale="en-GB")
    visitor.allowed.append("status of 400")  # a key that belongs to another certificate
    await visitor.sign_in(key)
    page, name, asked = visitor.page, f"c-{new_id().hex[:12]}", f"r-{new_id().hex[:12]}"
    certificate, right = AUTHORITY.issue("console.example")
    await visitor.button("Upload").click()
    await page.get_by_role("textbox", name="Name", exact=True).fill(name)
    await page.get_by_label("Certificate (PEM)").fill(certificate)
    await page.get_by_label("Private key (PEM)").fill(AUTHORITY.issue("other.example")[1])
    await visitor.assert_fit()
    await visitor.button("Create").click()
    await expect(page.get_by_role("dialog")).to_contain_text("does not belong to the certificate for console.example")
    await page.get_by_label("Private key (PEM)").fill(right)
    await visitor.button("Create").click()
    await expect(page.get_by_role("dialog")).to_be_hidden()
    row = page.locator("table.rows tbody tr", has_text=name)
    await expect(row).to_contain_text("Served")
    await visitor.assert_fit()

    await visitor.button("Request to sign").click()
    await page.get_by_role("textbox", name="Name", exact=True).fill(asked)
    await page.get_by_role("textbox", name="For").fill("asked.example")
    await visitor.button("Create").click()
    csr = await page.locator(".secret").inner_text()
    await page.keyboard.press("Escape")
    await visitor.button(f"Replace: {asked}").click()
    await page.get_by_label("Certificate (PEM)").fill(AUTHORITY.issue(csr=csr)[0])
    await visitor.button("Save").click()
    await expect(page.locator("table.rows tbody tr", has_text=asked)).to_contain_text("Served")

    await page.set_viewport_size(PHONE["viewport"])
    await visitor.assert_fit()
    for one in (name, asked):
        await visitor.button(f"Delete: {one}").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(page.locator("table.rows tbody tr", has_text=one)).to_have_count(0)
