"""The code blocks of a document, applied to a copy of the repository as its reader would.

A block that begins with `# PATH (new)` is a whole file. A `diff` block begins with `# PATH`; its hunks, with `@@` between
them, are lines that stand together in that file exactly once.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^```(\w+)\n# (\S+)( \(new\))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```(python|toml|diff)\n(?!# \S+( \(new\))?\n)", re.MULTILINE)


@dataclass(frozen=True)
class CodeBlock:
    """A change to one file."""

    path: str
    text: str
    new: bool

    def apply(self, root: Path) -> None:
        """Raises AssertionError where it does not fit the file."""
        file = root / self.path
        if self.new:
            assert not file.exists(), f"{self.path} is not new"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self.text)
            return
        text = file.read_text()
        for hunk in self.text.split("@@\n"):
            lines = [line if line.strip() else " \n" for line in hunk.splitlines(keepends=True)]
            before = "".join(line[1:] for line in lines if line[0] != "+")
            after = "".join(line[1:] for line in lines if line[0] != "-")
            assert 1 == text.count(before), f"{self.path} has these lines {text.count(before)} times:\n{before}"
            text = text.replace(before, after)
        file.write_text(text)


def read_blocks(document: str) -> Iterator[CodeBlock]:
    """Yield the blocks in order. Raises AssertionError for code that names no file: nobody would know where to paste it."""
    nameless = FENCE.search(document)
    assert nameless is None, f"a block names no file: {document[nameless.start() :][:200]}"
    for _, path, new, text in BLOCK.findall(document):
        yield CodeBlock(path, text, bool(new))
