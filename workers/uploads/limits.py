"""How much may arrive with one upload, or be fetched by one job."""

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class UploadLimits:
    """`max_file` and `max_upload`: bytes of one file and of a whole request. `max_files` includes the files inside zips.
    `longest_s`: how long the whole upload may take."""

    max_file: int = 100 * MIB
    max_upload: int = 1024 * MIB
    max_files: int = 1000
    max_urls: int = 100
    longest_s: float = 3600.0

    def too_large(self) -> str:
        """Error message for a file that exceeds `max_file`."""
        return f"The file must not exceed {self.max_file:,} bytes. Split it."
