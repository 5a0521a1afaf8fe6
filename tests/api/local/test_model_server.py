"""`up --model local:PATH`: what is started for a file, and what is said when that can't be."""

import asyncio
import os
import stat
import sys
from pathlib import Path

import pytest

from api.local.errors import LocalError
from api.local.model_server import SETTING, find_model_server, wait_until_loaded
from api.local.process_output import FileOutput
from api.local.supervisor import Supervisor
from graphs.providers.settings import ProviderSettings, resolve

LOADS_FIRST = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Answer.asked += 1
        self.send_response(503 if Answer.asked < 3 else 200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Answer).serve_forever()
"""
EXITS = "import sys; print('unknown model architecture'); sys.exit(1)"


@pytest.fixture
def model(tmp_path: Path) -> str:
    file = tmp_path / "Qwen 2.5.gguf"
    file.write_bytes(b"GGUF....")
    return f"local:{file}"


def program(folder: Path, code: str) -> dict[str, str]:
    """A llama-server of a few lines, as the setting that names it."""
    file = folder / "llama-server"
    file.write_text(f"#!{sys.executable}\n{code}")
    file.chmod(stat.S_IRWXU)
    return {SETTING: str(file)}


def test_the_stack_is_told_where_its_model_answers(model: str, tmp_path: Path):
    server = find_model_server(model, program(tmp_path, EXITS))

    settings = ProviderSettings.from_env(server.settings)
    assert "llamacpp/qwen-2.5" == str(resolve(None, settings))
    assert settings.get_access("llamacpp").base_url == f"http://127.0.0.1:{server.port}/v1"
    assert {"--jinja", "127.0.0.1", str(server.port), server.model} <= set(server.process.command)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("local:/nowhere/at-all.gguf", "No such file"),
        ("local:/", "Is a directory"),
        (f"local:{__file__}", "must be a GGUF file"),
        ("local:/dev/null", "must be a GGUF file"),
    ],
)
def test_a_file_that_is_no_model_is_named(choice: str, said: str):
    with pytest.raises(LocalError, match=said):
        find_model_server(choice, {})


def test_without_a_llama_server_it_is_said_what_to_install(model: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(LocalError, match="no llama-server is in your PATH"):
        find_model_server(model, {})
    with pytest.raises(LocalError, match="HEADRACE_LLAMA_SERVER is '/not/there'"):
        find_model_server(model, {SETTING: "/not/there"})


async def test_it_is_waited_for_until_it_has_loaded(model: str, tmp_path: Path):
    server = find_model_server(model, program(tmp_path, LOADS_FIRST))
    supervisor = Supervisor([server.process], env=dict(os.environ), cwd=tmp_path, output=FileOutput(tmp_path))
    await supervisor.start()
    try:
        await wait_until_loaded(server, supervisor, asyncio.Event())
    finally:
        await supervisor.stop(grace_s=1, stop_now=asyncio.Event())


async def test_a_server_that_cannot_load_it_ends_the_start_with_its_last_words(model: str, tmp_path: Path):
    server = find_model_server(model, program(tmp_path, EXITS))
    supervisor = Supervisor([server.process], env=dict(os.environ), cwd=tmp_path, output=FileOutput(tmp_path))
    await supervisor.start()
    try:
        with pytest.raises(LocalError, match="unknown model architecture"):
            await wait_until_loaded(server, supervisor, asyncio.Event())
    finally:
        await supervisor.stop(grace_s=1, stop_now=asyncio.Event())
