"""The commands, as a person at a terminal meets them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from api.__main__ import load_dotenv
from api.cli.certificates import check as check_certificates
from api.cli.client.benchmark import describe_cost
from api.cli.client.chat import ChatResult, chat, name_files, read_attachments, show
from api.cli.client.ingest import Progress, find_files, ingest
from api.cli.demo import stored_text
from api.cli.doctor import openai, run_checks
from api.cli.env import exports, replaced, shell_exports
from api.cli.up import check_model_argument
from api.local.errors import LocalError
from api.local.http_client import Client
from api.local.stack import RunningStack
from schema.events.notices import NO_LANGUAGE_MODEL
from tests.api.local.stub_api import FOLLOWS, SAID, make_app
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[3]


def command(*arguments: str, home: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return subprocess.run(
        [sys.executable, "-m", "api", *arguments],
        env=own | {"HEADRACE_HOME": str(home)} | environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_env_says_that_nothing_runs_and_prints_nothing_to_evaluate(tmp_path: Path) -> None:
    done = command("env", home=tmp_path)
    assert (1, "") == (done.returncode, done.stdout)
    assert "headrace: headrace is not running here. Start it with ./headrace up in another terminal.\n" == done.stderr


def test_env_does_not_believe_the_state_of_a_stack_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(f'{{"pid": {os.getpid()}, "url": "http://x", "flower_url": "http://y"}}')
    assert 1 == command("env", home=tmp_path).returncode


def test_chat_without_a_server_says_how_to_start_one(tmp_path: Path) -> None:
    done = command("chat", "hello", home=tmp_path)
    assert 1 == done.returncode
    assert "./headrace up" in done.stderr


def test_a_server_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    done = command("chat", "hello", home=tmp_path, HEADRACE_URL="http://127.0.0.1:9", HEADRACE_API_KEY="hr_x")
    assert 1 == done.returncode
    assert "headrace: http://127.0.0.1:9 can't be reached" in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("HEADRACE_PORT", "eighty"), ("HEADRACE_DATABASE_URL", "mysql://x"), ("HEADRACE_REDIS_URL", "http://x")],
)
def test_a_wrong_setting_is_named(name: str, value: str, tmp_path: Path) -> None:
    done = command("up", home=tmp_path, **{name: value})
    assert 2 == done.returncode
    assert name in done.stderr


@pytest.mark.parametrize("arguments", [["up"], ["demo"], ["serve"], ["migrate"], ["rotate-keys"]], ids=" ".join)
def test_all_wrong_and_unknown_settings_are_named_at_once(arguments: list[str], tmp_path: Path) -> None:
    wrong = {"HEADRACE_DATABASE_URL": "mysql://u:hush@x/y", "HEADRACE_PROT": "80", "HEADRACE_WINDO": "9"}
    if arguments[0] in ("up", "demo", "serve"):
        wrong |= {"HEADRACE_LOGS": "xml", "HEADRACE_EMBEDDER": "nothing", "HEADRACE_PORT": "http"}
    done = command(*arguments, home=tmp_path / "home", **wrong)
    assert (2, "") == (done.returncode, done.stdout)
    assert [] == [name for name in wrong if name not in done.stderr]
    assert "There is no setting HEADRACE_PROT. Did you mean HEADRACE_PORT?" in done.stderr
    assert "hush" not in done.stderr
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("role", ["chat", "scheduler", "flower"])
def test_a_worker_names_all_its_wrong_settings_too(role: str) -> None:
    wrong = {
        "HEADRACE_CHAT_CONCURRENCY": "inf",
        "HEADRACE_LOGS": "xml",
        "HEADRACE_FLOWER_PORT": "0",
        "HEADRACE_PROT": "1",
    }
    own = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    done = subprocess.run(
        [sys.executable, "-m", "workers", role],
        env=own | wrong | {"HEADRACE_DATABASE_URL": "postgresql://h/d", "HEADRACE_REDIS_URL": "redis://h/0"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert 2 == done.returncode
    assert [] == [name for name in (*wrong, "HEADRACE_SECRET_KEYS") if name not in done.stderr]


@pytest.mark.parametrize(
    "arguments", [["env"], ["chat", "hello"], ["ingest", "."], ["benchmark"], ["jobs"]], ids=" ".join
)
def test_a_client_command_refuses_an_unknown_setting(arguments: list[str], tmp_path: Path) -> None:
    done = command(*arguments, home=tmp_path, HEADRACE_APIKEY="hr_x")
    assert (2, "") == (done.returncode, done.stdout)
    assert "headrace: There is no setting HEADRACE_APIKEY. Did you mean HEADRACE_API_KEY?\n" == done.stderr


def test_doctor_reports_every_wrong_setting() -> None:
    report = [str(one) for one in run_checks({"HEADRACE_LOGS": "xml", "HEADRACE_PROT": "1", "HEADRACE_HOME": "/tmp"})]
    assert 2 == sum(line.startswith("WRONG settings") for line in report)


def test_doctor_never_shows_a_secret() -> None:
    environ = {
        "OPENAI_API_KEY": "sk-secret",
        "OLLAMA_HOST": "http://user:sesame@127.0.0.1:9",
        "HEADRACE_DATABASE_URL": "postgresql://u:hush@127.0.0.1:9/x",
        "HEADRACE_HOME": "/tmp",
    }
    report = "\n".join(map(str, run_checks(environ)))
    assert "WRONG postgres" in report
    assert [] == [secret for secret in ("sk-secret", "sesame", "hush") if secret in report]


def test_exports_can_be_evaluated_by_a_shell() -> None:
    names = exports(RunningStack(pid=1, url="http://127.0.0.1:1", flower_url="", key="hr_it's"))
    text = shell_exports(names)
    done = subprocess.run(
        ["sh", "-c", 'eval "$1"; echo "$OPENAI_BASE_URL $OPENAI_API_KEY"', "sh", text],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "http://127.0.0.1:1/v1 hr_it's\n" == done.stdout


def test_env_names_what_it_takes_from_a_shell_and_nothing_that_is_its_own_or_in_a_file() -> None:
    names = exports(RunningStack(pid=1, url="http://127.0.0.1:1", flower_url="", key="hr_x"))
    assert ["OPENAI_API_KEY"] == replaced(names, {"OPENAI_API_KEY": "sk-mine"}, {})
    assert [] == replaced(names, names, {})
    assert [] == replaced(names, {"OPENAI_API_KEY": "sk-mine"}, {"OPENAI_API_KEY": "sk-mine"})


def test_a_providers_key_in_the_file_counts_although_a_shell_has_our_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-mine\n")
    monkeypatch.setattr("api.__main__.ROOT", tmp_path)
    ours = {"HEADRACE_URL": "http://x", "OPENAI_BASE_URL": "http://x/v1", "OPENAI_API_KEY": "hr_x"}
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    load_dotenv()
    assert ("sk-mine", None) == (os.environ["OPENAI_API_KEY"], os.environ.get("OPENAI_BASE_URL"))


async def test_a_chat_goes_on_after_a_broken_connection_and_says_what_was_void(capsys: pytest.CaptureFixture) -> None:
    app = make_app()
    async with TestServer(app) as server, Client(str(server.make_url("")), "hr_x") as client:
        result = await show(client.chat("hello"))
        stored = await stored_text(client, result)
    assert ["5", "5"] == app[FOLLOWS]
    assert "Hello, world" == result.text == stored
    assert ["w1", "w2"] == result.workers
    assert "lost \n[worker lost; another worker takes over]\nHello, world\n" == capsys.readouterr().out


async def test_without_a_language_model_a_chat_says_so_once_and_not_in_the_answer(
    capsys: pytest.CaptureFixture,
) -> None:
    async with TestServer(make_app()) as server:
        await chat(str(server.make_url("")), "hr_x", "hello", None)
    said = capsys.readouterr()
    assert (1, 0) == (said.err.count(NO_LANGUAGE_MODEL.message), said.out.count(NO_LANGUAGE_MODEL.message))
    assert said.err.startswith(NO_LANGUAGE_MODEL.message)


async def test_files_go_with_a_chat(tmp_path: Path) -> None:
    (tmp_path / "note.md").write_text("Water.")
    app = make_app()
    async with TestServer(app) as server:
        files = read_attachments([tmp_path / "note.md"])
        await chat(str(server.make_url("")), "hr_x", "hello", None, attachments=files)
    assert [{"message": "hello", "attachments": [{"name": "note.md", "data": "V2F0ZXIu"}]}] == app[SAID]


def test_a_file_that_is_not_there_cannot_be_attached(tmp_path: Path) -> None:
    done = command(
        "chat", "hello", "--attach", "nowhere.pdf", home=tmp_path, HEADRACE_URL="http://x", HEADRACE_API_KEY="k"
    )
    assert 1 == done.returncode
    assert f"headrace: {ROOT}/nowhere.pdf can't be attached: No such file or directory." in done.stderr


def test_a_key_that_is_no_text_is_told_how_a_key_becomes_pem(tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.der"
    certificate.write_text("any")
    key.write_bytes(b"\x30\x82\xff")
    with pytest.raises(LocalError, match=r"k\.der is not PEM\. If it is DER, `openssl pkey -inform der"):
        check_certificates(certificate, key)
    with pytest.raises(LocalError, match="openssl x509 -inform der"):
        check_certificates(key, certificate)


async def test_a_refused_upload_is_reported_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "note.md").write_text("Water.")
    async with TestServer(make_app()) as server:
        with pytest.raises(LocalError, match="404"):
            await ingest(str(server.make_url("")), "hr_x", list(find_files([tmp_path])), {"collection": "manuals"})


@pytest.mark.parametrize("name", ["Quy định.txt", 'a "quoted" name.txt', "100% + ü.txt"])
async def test_a_file_keeps_its_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("Water.")
    sent: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        sent.append(await request.read())
        return web.json_response({"documents": [{"unchanged": True}], "refused": []}, status=202)

    app = web.Application()
    app.router.add_post("/api/documents", take)
    async with TestServer(app) as server, Client(str(server.make_url("")), "hr_x") as client:
        await client.upload(list(find_files([tmp_path])), {})
    escaped = name.replace('"', '\\"')
    assert f'filename="{escaped}"'.encode() in sent[0]


def test_files_that_were_there_already_are_not_counted_as_missing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(1)
    progress.take({"documents": [{"unchanged": True}], "refused": []})
    assert 0 == progress.print_summary("default")
    assert "1 file already there in 'default'; nothing has changed." in capsys.readouterr().out


def test_doctor_does_not_take_our_own_key_for_a_vendors() -> None:
    exported = {"HEADRACE_URL": "http://x", "OPENAI_BASE_URL": "http://x/v1", "OPENAI_API_KEY": "hr_x"}
    report = "\n".join(map(str, run_checks(exported | {"HEADRACE_HOME": "/tmp"})))
    assert "OPENAI_API_KEY of a provider is not set in this shell or .env" in report


def test_doctor_says_that_a_running_stack_may_have_what_this_shell_has_not() -> None:
    running = RunningStack(pid=1, url="http://127.0.0.1:1", flower_url="", key="hr_x")
    beside, alone, known = (str(openai(*asked)) for asked in ((False, running), (False, None), (True, running)))
    assert "is not set in this shell or .env" in beside
    assert "The running stack may have one from where it was started: http://127.0.0.1:1/health says" in beside
    assert "Set it to use OpenAI" in alone
    assert "ok    openai       OPENAI_API_KEY is set in this shell or .env" == known


def test_the_cost_of_a_model_without_a_price_is_not_called_nothing() -> None:
    costs = ((0.0, 7), (0.0, 0), (0.00001, 7), (0.0123, 7))
    assert ["no price", "no cost", "less than $0.0001", "$0.0123"] == [
        describe_cost({"cost_usd": cost, "output_tokens": tokens}) for cost, tokens in costs
    ]


def test_a_folder_without_files_is_named(tmp_path: Path) -> None:
    done = command("ingest", str(tmp_path), home=tmp_path)
    assert (1, True) == (done.returncode, f"No files to ingest in {tmp_path}." in done.stderr)


async def test_a_refusal_is_reported_with_the_servers_message() -> None:
    async with TestServer(make_app()) as server, Client(str(server.make_url("")), "hr_x") as client:
        with pytest.raises(LocalError, match=r"422: Say something else\."):
            await show(client.chat("forbidden"))


def test_a_stream_without_events_has_an_empty_result() -> None:
    assert ("", "", 0) == (ChatResult().text, ChatResult().error, ChatResult().pieces)


@pytest.mark.parametrize(
    ("model", "environ", "told"),
    [
        ("openai/gpt-4o", {}, "--model openai/gpt-4o: The model openai/gpt-4o needs OPENAI_API_KEY"),
        ("anthropic/claude-x", {}, "ANTHROPIC_API_KEY"),
        ("nope", {}, "--model nope: There is no model 'nope'"),
        ("nowhere/x", {}, "--model is 'nowhere/x'; it must be provider/model"),
        ("", {}, "--model is empty"),
        (" ", {}, "--model is empty"),
        ("auto", {}, "--model auto: No language model is connected"),
    ],
)
def test_up_refuses_a_model_that_it_can_not_call(model: str, environ: dict[str, str], told: str) -> None:
    with pytest.raises(LocalError, match=re.escape(told)):
        check_model_argument(model.strip(), environ)


def test_up_takes_a_model_that_is_connected() -> None:
    key = {"OPENAI_API_KEY": "sk-1"}
    for model in ("openai/gpt-4o", "gpt-4o", "auto", "local:x.gguf", "offline/extractive"):
        check_model_argument(model, key)


def test_up_with_an_empty_model_starts_nothing(tmp_path: Path) -> None:
    ended = command("up", "--model", " ", home=tmp_path)
    assert 0 != ended.returncode
    assert "--model is empty" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("webhooks", "listen", "--port", "99999"), "argument --port: '99999' is not a port from 1 to 65,535"),
        (("webhooks", "listen", "--port=-5"), "argument --port: '-5' is not a port"),
        (("webhooks", "listen", "--count", "0"), "argument --count: '0' is not a whole number of at least 1"),
        (("webhooks", "listen", "--count=-1"), "argument --count"),
        (("jobs", "--limit", "0"), "argument --limit"),
        (("up", "--grace", "nan"), "argument --grace: 'nan' is not a number of seconds"),
    ],
)
def test_a_number_that_can_not_be_meant_is_refused_by_its_argument(
    arguments: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    ended = command(*arguments, home=tmp_path)
    assert (2, True, False) == (ended.returncode, told in ended.stderr, "Traceback" in ended.stderr), ended.stderr


def test_the_help_of_up_names_the_ports(tmp_path: Path) -> None:
    said = " ".join(command("up", "--help", home=tmp_path).stdout.split())
    assert "The API listens on port 8000 (HEADRACE_PORT)" in said


def test_errors_of_attachments_name_the_files() -> None:
    files = [{"name": "empty.pdf", "data": ""}, {"name": "big.pdf", "data": "A" * 8_000_000}]
    assert "The server answered 400: empty.pdf must not be empty." == name_files(
        "The server answered 400: attachments[0].data must not be empty.", files
    )
    told = name_files(
        "The server answered 413: The body exceeds 8,388,608 bytes, the limit of this installation.", files
    )
    assert "big.pdf (6,000,000 bytes)" in told
    assert "less than 6,291,456 bytes" in told
    assert "attachments[7] is odd" == name_files("attachments[7] is odd", files)
