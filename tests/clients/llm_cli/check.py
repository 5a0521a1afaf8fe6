"""Simon Willison's `llm` with headrace as one of its OpenAI-compatible models: prompts streamed and not, a conversation that
goes on, and a model that goes on with texts."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

URL, KEY = f"{os.environ['HEADRACE_URL']}/v1", os.environ["HEADRACE_API_KEY"]
MODELS = f"""\
- model_id: spoken
  model_name: openai/text-7
  api_base: {URL}
  api_key_name: headrace
- model_id: written
  model_name: openai/text-4
  api_base: {URL}
  api_key_name: headrace
  completion: true
"""
LLM = str(Path(sys.executable).with_name("llm"))


def llm(folder: Path, *arguments: str) -> str:
    env = {**os.environ, "LLM_USER_PATH": str(folder)}
    done = subprocess.run([LLM, *arguments], env=env, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "extra-openai-models.yaml").write_text(MODELS)
        llm(folder, "keys", "set", "headrace", "--value", KEY)
        said = "water flows down the channel and turns"
        assert said == llm(folder, "-m", "spoken", "Hello"), "streamed"
        assert said == llm(folder, "-m", "spoken", "--no-stream", "Hello"), "not streamed"
        assert said == llm(folder, "-m", "spoken", "-c", "And again?"), "a conversation that goes on"
        assert "water flows down the" == llm(folder, "-m", "written", "Once upon"), "a text that goes on"
        assert "water flows down the" == llm(folder, "-m", "written", "--no-stream", "Once upon"), "the same, whole"
    print("5 checks")


main()
