"""The built files of the console, read into memory with their compressed forms, and chosen by what a browser accepts.

Not here: who asks for them (`routes.py`), and how they come about (`build.py`).
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

WEB = Path(__file__).with_name("web")
DIST = WEB / "dist"
INDEX = "index.html"

MEDIA_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
ENCODINGS = {"br": ".br", "gzip": ".gz"}
"""What the build leaves beside a file that is worth compressing, the smallest first."""


@dataclass(frozen=True)
class Asset:
    """One file: `bodies` are its bytes by content encoding, with `identity` for none."""

    media_type: str
    etag: str
    bodies: dict[str, bytes]

    def choose(self, accepted: str) -> tuple[str, bytes]:
        """Return the encoding to send to a browser that sent this `Accept-Encoding`, and the bytes."""
        names = {part.partition(";")[0].strip() for part in accepted.split(",")}
        name = next((name for name in ENCODINGS if name in names and name in self.bodies), "identity")
        return name, self.bodies[name]


def find_assets(dist: Path = DIST) -> dict[str, Asset] | None:
    """Return the files of the console by their path, None if it is not built. A build that ends later is noticed."""
    try:
        built_ns = (dist / INDEX).stat().st_mtime_ns
    except FileNotFoundError:
        return None
    return _read(dist, built_ns)


@lru_cache(maxsize=1)
def _read(dist: Path, _built_ns: int) -> dict[str, Asset]:
    files = (path for path in dist.rglob("*") if path.suffix in MEDIA_TYPES and path.is_file())
    return {path.relative_to(dist).as_posix(): _asset(path) for path in files}


def _asset(path: Path) -> Asset:
    body = path.read_bytes()
    compressed = {name: path.with_name(path.name + suffix) for name, suffix in ENCODINGS.items()}
    bodies = {name: file.read_bytes() for name, file in compressed.items() if file.is_file()}
    return Asset(MEDIA_TYPES[path.suffix], etag_of(body), {**bodies, "identity": body})


def etag_of(body: bytes) -> str:
    """Return the validator of these bytes."""
    return f'"{hashlib.sha256(body).hexdigest()[:20]}"'
