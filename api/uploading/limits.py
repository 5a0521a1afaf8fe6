"""How much an upload may bring: one frozen object in `ApiSettings`."""

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class UploadLimits:
    """`max_file` and `max_upload` in bytes, of one file and of a whole request; `max_files` counts what is in zips too.
    `silent_s`: how long a client may send nothing; `longest_s`: how long all of it may take."""

    max_file: int = 100 * MIB
    max_upload: int = 1024 * MIB
    max_files: int = 1000
    max_urls: int = 100
    silent_s: float = 30.0
    longest_s: float = 3600.0

    def too_large(self) -> str:
        """The sentence for a file that is larger than one may be."""
        return f"The file must not exceed {self.max_file:,} bytes. Split it."
