"""The state of an upload: received files in a temporary folder, counted against the limits, and refused files."""

from dataclasses import dataclass
from pathlib import Path

from schema.errors import InputError, StorageFull, UploadTooLarge
from schema.queries.jobs.submissions import STORAGE_IS_FULL
from workers.uploads.file_sink import FileSink
from workers.uploads.limits import UploadLimits

TOO_LARGE = "too_large"


@dataclass(frozen=True)
class ReceivedFile:
    """A complete file in the temporary folder. `name` is the name that was sent."""

    name: str
    path: Path
    size: int
    sha256: bytes
    source_url: str | None = None
    source_etag: str | None = None


@dataclass(frozen=True)
class Refusal:
    """Why a file was not accepted: a stable code, and a message for people."""

    name: str
    code: str
    message: str


class Batch:
    """`space`: bytes that the tenant may still store, None for no limit. The commit checks again, exactly."""

    def __init__(self, folder: Path, limits: UploadLimits, space: int | None) -> None:
        self.folder, self.limits, self.space = folder, limits, space
        self.received: list[ReceivedFile] = []
        self.refused: list[Refusal] = []
        self.received_bytes = 0
        self._stored_bytes = 0
        self._file_count = 0

    def count_received(self, size: int) -> None:
        """Count received bytes. Raises UploadTooLarge."""
        self.received_bytes += size
        if self.received_bytes > self.limits.max_upload:
            raise upload_too_large(self.limits)

    def count_stored(self, size: int) -> None:
        """Count bytes that will be stored; negative to take them back. Raises StorageFull."""
        self._stored_bytes += size
        if self.space is not None and self._stored_bytes > self.space:
            raise storage_full()

    def new_path(self) -> Path:
        """Return an unused path in the folder."""
        self._file_count += 1
        return self.folder / f"{self._file_count:05}"

    def open_sink(self) -> FileSink:
        """Return a sink for another file. Raises InputError if there are too many."""
        if self._file_count >= self.limits.max_files:
            raise InputError(
                f"An upload can contain at most {self.limits.max_files:,} files. Send several uploads.", field="files"
            )
        return FileSink(self.new_path(), self.limits.max_file)

    def refuse(self, name: str, code: str, message: str) -> None:
        self.refused.append(Refusal(name, code, message))


def upload_too_large(limits: UploadLimits) -> UploadTooLarge:
    """Return the error for a request that is too large as a whole."""
    return UploadTooLarge(f"An upload must not exceed {limits.max_upload:,} bytes. Send several uploads.")


def storage_full() -> StorageFull:
    """Return the error for a tenant whose storage is full."""
    return StorageFull(STORAGE_IS_FULL)
