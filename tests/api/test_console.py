"""The console as it is served: the page at every path, its files for ever, and what is shown where it is not built."""

import gzip
import re
from pathlib import Path

import httpx
import pytest

from api.console import assets, routes
from api.console.build import is_new_enough

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SCRIPT = "console.log('a script')\n" * 60
PAGE = '<!doctype html><base href="./"><script type="module" src="./assets/index-abc.js"></script>'


@pytest.fixture
def dist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of the built console, empty at first."""
    monkeypatch.setattr(routes, "find_assets", lambda: assets.find_assets(tmp_path))
    return tmp_path


@pytest.fixture
def built(dist: Path) -> Path:
    """A console that is built: a page, and a script with its compressed form."""
    (dist / "assets").mkdir()
    (dist / "assets/index-abc.js").write_text(SCRIPT)
    (dist / "assets/index-abc.js.gz").write_bytes(gzip.compress(SCRIPT.encode()))
    (dist / "icon.svg").write_text("<svg/>")
    (dist / "index.html").write_text(PAGE)
    return dist


async def test_browsers_are_led_to_the_console_and_programs_are_told_where_it_is(api: httpx.AsyncClient) -> None:
    answer = await api.get("/", headers=HTML)
    assert (302, "console/") == (answer.status_code, answer.headers["location"])
    assert "/console/" == (await api.get("/", headers={"Accept": "*/*"})).json()["links"]["console"]
    answer = await api.get("/console", headers=HTML)
    assert (302, "console/") == (answer.status_code, answer.headers["location"])


@pytest.mark.usefixtures("dist")
@pytest.mark.parametrize(("path", "base"), [("/console/", "./"), ("/console/jobs", "./"), ("/console/jobs/1", "../")])
async def test_a_console_that_is_not_built_says_how_to_build_it(api: httpx.AsyncClient, path: str, base: str) -> None:
    answer = await api.get(path, headers=HTML)
    assert (200, "no-cache") == (answer.status_code, answer.headers["cache-control"])
    assert "./headrace console" in answer.text
    assert f'<base href="{base}">' in answer.text
    links = re.findall(r'<a href="(?:\.\./)([^"]+)"', answer.text)
    assert ["schema/swagger", "schema/openapi.json", "health"] == links


async def test_a_build_that_ends_later_is_served_without_a_restart(api: httpx.AsyncClient, dist: Path) -> None:
    assert "not built" in (await api.get("/console/")).text
    (dist / "index.html").write_text(PAGE)
    assert "not built" not in (await api.get("/console/")).text


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize(("path", "base"), [("", "./"), ("chat/0", "../"), ("a/b/c", "../../")])
async def test_every_path_gets_the_page_which_finds_its_files_under_any_prefix(
    api: httpx.AsyncClient, path: str, base: str
) -> None:
    answer = await api.get(f"/console/{path}")
    assert "text/html; charset=utf-8" == answer.headers["content-type"]
    assert f'<base href="{base}">' in answer.text


@pytest.mark.usefixtures("built")
async def test_the_page_may_load_nothing_from_elsewhere_and_no_inline_script(api: httpx.AsyncClient) -> None:
    policy = (await api.get("/console/")).headers["content-security-policy"]
    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert "'none'" == parts["default-src"]
    assert "'self'" == parts["script-src"] == parts["style-src"] == parts["connect-src"]
    assert "'none'" == parts["frame-ancestors"]


@pytest.mark.usefixtures("built")
async def test_files_are_kept_for_ever_and_sent_compressed_to_those_who_can_read_it(api: httpx.AsyncClient) -> None:
    path = "/console/assets/index-abc.js"
    small = await api.get(path, headers={"Accept-Encoding": "gzip, br;q=0.5"})
    assert ("gzip", SCRIPT) == (small.headers["content-encoding"], small.text)
    assert "immutable" in small.headers["cache-control"]
    assert "Accept-Encoding" == small.headers["vary"]
    plain = await api.get(path, headers={"Accept-Encoding": "identity"})
    assert ("content-encoding" in plain.headers, plain.text) == (False, SCRIPT)


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("path", ["/console/", "/console/assets/index-abc.js", "/console/icon.svg"])
async def test_what_a_browser_has_is_not_sent_again(api: httpx.AsyncClient, path: str) -> None:
    etag = (await api.get(path)).headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}'):
        answer = await api.get(path, headers={"If-None-Match": known})
        assert (304, b"") == (answer.status_code, answer.content)
    assert 200 == (await api.get(path, headers={"If-None-Match": '"other"'})).status_code


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("path", ["assets/gone-1.js", "assets/../../secret", "assets/"])
async def test_a_file_that_is_gone_is_a_404_and_never_the_page(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.get(f"/console/{path}")
    assert (404, "not_found") == (answer.status_code, answer.json()["code"])


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ("v20.19.0", True),
        ("v20.18.3", False),
        ("v21.7.0", False),
        ("v22.11.0", False),
        ("v22.12.0", True),
        ("v24.1.0", True),
        ("", False),
    ],
)
def test_a_node_that_vite_does_not_run_on_is_not_taken(version: str, fits: bool) -> None:
    assert fits == is_new_enough(version)


def test_the_page_has_the_place_where_its_base_is_put() -> None:
    """Without it, every page but the first level would look for its files beside itself."""
    assert routes.BASE.decode() in (assets.WEB / "index.html").read_text()
