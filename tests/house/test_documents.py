"""The documents say what is there."""

import re
from pathlib import Path

import pytest

from schema.events import EVENTS, describe_events
from schema.kinds import KINDS
from workers.app import build_app

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "DECISIONS.md", "CONTRIBUTING.md", "CHANGELOG.md")
PATH = re.compile(r"`((?:api|workers|graphs|tools|schema|tests)/[\w./-]+|[\w-]+\.(?:md|yaml|toml|txt))`")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_path_that_a_document_names_exists(name: str) -> None:
    paths = PATH.findall((ROOT / name).read_text())
    assert [] == [path for path in paths if not (ROOT / path.rstrip("/")).exists()]


def test_the_readme_fits_on_a_few_screens() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_decisions_are_short_and_numbered_in_order() -> None:
    text = (ROOT / "DECISIONS.md").read_text()
    numbers = [int(number) for number in re.findall(r"^## (\d+)\. ", text, re.MULTILINE)]
    assert list(range(1, len(numbers) + 1)) == numbers
    entries = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert [] == [entry.splitlines()[0] for entry in entries if len(entry.strip().splitlines()) > 21]


def test_every_event_is_in_the_documentation() -> None:
    table = describe_events()
    assert [] == [name for name in EVENTS if f"`{name}`" not in table]


def test_every_kind_of_job_has_its_celery_task() -> None:
    app = build_app("redis://127.0.0.1:1/0")
    assert [] == [kind.task for kind in KINDS.values() if kind.task not in app.tasks]


def test_the_documents_name_no_machine() -> None:
    text = "".join((ROOT / name).read_text() for name in DOCUMENTS)
    assert [] == re.findall(r"/(?:work|home|root|tmp)/\S*", text)
