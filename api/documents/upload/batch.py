"""The state of an upload: files in its temporary folder, counted against the limits, and the refused ones."""

from dataclasses import dataclass
from pathlib import Path

from litestar.exceptions import HTTPException

from api.documents.upload.file_sink import FileSink
from api.settings import UploadLimits
from schema.errors import InputError, StorageFull
from schema.queries.jobs.submissions import STORAGE_IS_FULL

TOO_LARGE = "too_large"


@dataclass(frozen=True)
class ReceivedFile:
    """A complete file in the temporary folder. `name` is what its owner calls it."""

    name: str
    path: Path
    size: int
    sha256: bytes
    source_url: str | None = None


@dataclass(frozen=True)
class Refusal:
    """Why a file becomes no document: a stable code, and a sentence for the person who sent it."""

    name: str
    code: str
    message: str


class Batch:
    """`space` is how many bytes the tenant may still store, None for no limit; the commit asks again, exactly."""

    def __init__(self, folder: Path, limits: UploadLimits, space: int | None) -> None:
        self.folder, self.limits, self.space = folder, limits, space
        self.received: list[ReceivedFile] = []
        self.refused: list[Refusal] = []
        self.came = 0
        self._held = 0
        self._begun = 0

    def count(self, size: int) -> None:
        """Count bytes that came. Raises HTTPException (413) beyond what a request may bring."""
        self.came += size
        if self.came > self.limits.max_upload:
            raise too_much(self.limits)

    def hold(self, size: int) -> None:
        """Count bytes that are to be stored; negative ones won't be. Raises StorageFull."""
        self._held += size
        if self.space is not None and self._held > self.space:
            raise storage_full()

    def new_path(self) -> Path:
        """Return a path in the folder that is not used yet."""
        self._begun += 1
        return self.folder / f"{self._begun:05}"

    def begin(self) -> FileSink:
        """Return a sink for one more file. Raises InputError when there are too many."""
        if self._begun >= self.limits.max_files:
            raise InputError(
                f"An upload can contain at most {self.limits.max_files:,} files. Send several uploads.", field="file"
            )
        return FileSink(self.new_path(), self.limits.max_file)

    def refuse(self, name: str, code: str, message: str) -> None:
        self.refused.append(Refusal(name, code, message))


def too_much(limits: UploadLimits) -> HTTPException:
    """The error for a request that is too large as a whole."""
    return HTTPException(
        status_code=413, detail=f"An upload must not exceed {limits.max_upload:,} bytes. Send several uploads."
    )


def storage_full() -> StorageFull:
    """The error for a tenant that may not store this much more."""
    return StorageFull(STORAGE_IS_FULL)
