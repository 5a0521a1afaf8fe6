"""Uses Open WebUI in Chromium as somebody at its page does: seven turns, a title, a file, an answer that is stopped.

It has its data in a folder of its own, and fetches nothing: no models, no updates. Needs a Chromium on the PATH.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

HEADRACE, KEY = os.environ["HEADRACE_URL"], os.environ["HEADRACE_API_KEY"]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SETTINGS = {
    "OPENAI_API_BASE_URL": f"{HEADRACE}/v1",
    "OPENAI_API_KEY": KEY,
    "ENABLE_OLLAMA_API": "False",
    "WEBUI_AUTH": "False",
    "WEBUI_SECRET_KEY": "a secret of the test",
    "BYPASS_EMBEDDING_AND_RETRIEVAL": "True",  # files whole, since there is no embedding model to fetch
    "RAG_EMBEDDING_ENGINE": "openai",
    **{"OFFLINE_MODE": "True", "HF_HUB_OFFLINE": "1", "ENABLE_VERSION_UPDATE_CHECK": "False"},
    **{"SCARF_NO_ANALYTICS": "true", "DO_NOT_TRACK": "true", "ANONYMIZED_TELEMETRY": "False"},
}
START_S, PATIENCE_S = 400.0, 90.0
AGENT = "agent/Listener"
BEGAN = datetime.now(UTC).isoformat()
SLOW = "agent/Talker"


@contextmanager
def open_webui(folder: Path) -> Iterator[str]:
    """Start Open WebUI and yield its address."""
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("open-webui")), "serve", "--host", "127.0.0.1", "--port", str(port)]
    env = {**os.environ, **SETTINGS, "DATA_DIR": str(folder), "HOME": str(folder)}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=folder)
    try:
        url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + START_S
        while not _is_up(url):
            if server.poll() is not None or time.monotonic() > until:
                sys.exit(f"Open WebUI did not start:\n{(folder / 'log').read_text()[-3000:]}")
            time.sleep(1)
        yield url
    finally:
        server.terminate()
        server.wait(30)


def _is_up(url: str) -> bool:
    try:
        return urllib.request.urlopen(f"{url}/health", timeout=2).status == 200
    except (urllib.error.URLError, OSError):
        return False


def told() -> list[tuple[str | None, str]]:
    """The agent and the state of each chat of headrace, but those that there were before."""
    asked = urllib.request.Request(f"{HEADRACE}/api/jobs?limit=100", headers={"Authorization": f"Bearer {KEY}"})
    jobs = json.load(urllib.request.urlopen(asked, timeout=30))["items"]
    return [(job["agent"], job["state"]) for job in jobs if job["created_at"] >= BEGAN]


def wait_for(count: Callable[[], int], least: int) -> None:
    """Wait until something is there at least so often."""
    until = time.monotonic() + PATIENCE_S
    while count() < least:
        assert time.monotonic() < until, told()
        time.sleep(0.3)


def new_chat(page: Page, url: str, model: str) -> None:
    page.goto(f"{url}/?models={model}")
    page.wait_for_selector("#chat-input")
    if (news := page.get_by_role("button", name=re.compile("Let's Go"))).count():
        news.click()
    expect(page.locator("#model-selector-model-button")).to_contain_text(model.partition("/")[2])


def say(page: Page, words: str) -> None:
    page.locator("#chat-input").click()
    page.keyboard.type(words)
    page.keyboard.press("Enter")


def answers(page: Page) -> Any:
    return page.locator(".chat-assistant")


def check_turns(page: Page, url: str) -> None:
    """The seventh answer knows what the first message said; the prompts for a title and tags ran no agent."""
    new_chat(page, url, AGENT)
    for turn, words in enumerate(["Remember code-orchid."] + [f"And turn {n}?" for n in range(2, 8)], 1):
        say(page, words)
        wait_for(lambda: told().count(("Listener", "succeeded")), turn)
        expect(page.get_by_text(words, exact=True)).to_be_visible()
        expect(answers(page).last).to_contain_text("code-orchid")  # earlier ones leave the page
    expect(page.get_by_text("About codes").first).to_be_visible()
    wait_for(lambda: told().count((None, "succeeded")), 3)
    assert [agent for agent, _ in told()].count("Listener") == 7, told()


def check_file(page: Page, url: str, folder: Path) -> None:
    """What a file says reaches the agent."""
    (folder / "note.txt").write_text("The mill's password is code-heron.\n")
    new_chat(page, url, AGENT)
    with page.expect_response(lambda answer: "/api/v1/files/" in answer.url and answer.ok):
        page.locator("input[type=file]").first.set_input_files(folder / "note.txt")
    expect(page.get_by_text("note.txt").first).to_be_visible()
    say(page, "What does the note say?")
    expect(answers(page).first).to_contain_text("code-heron")


def check_stop(page: Page, url: str) -> None:
    """Stopping an answer cancels its job."""
    new_chat(page, url, SLOW)
    say(page, "Go on and on.")
    expect(answers(page).first).to_contain_text("water flows")
    page.get_by_role("button", name="Stop").click()
    wait_for(lambda: told().count(("Talker", "cancelled")), 1)


def main() -> None:
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        sys.exit("Chromium is missing: apt-get install chromium (Debian, as root)")
    expect.set_options(timeout=PATIENCE_S * 1000)
    with tempfile.TemporaryDirectory() as place, open_webui(folder := Path(place)) as url, sync_playwright() as tools:
        flags = ["--no-sandbox", "--disable-dev-shm-usage"]
        page = tools.chromium.launch(executable_path=browser, args=flags).new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        try:
            check_turns(page, url)
            check_file(page, url, folder)
            check_stop(page, url)
        except BaseException:
            print((folder / "log").read_text()[-2000:], file=sys.stderr)
            if shot := os.environ.get("HEADRACE_SCREENSHOT"):
                page.screenshot(path=shot)
            raise
    print("seven turns, a title, a file and a stop")


main()
