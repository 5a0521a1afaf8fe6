"""How old the newest backup in a folder is. That it can be restored only `./headrace restore FILE --check` tells."""

import time
from pathlib import Path

from api.cli.diagnosis.findings import Finding

MAX_AGE_H = 48


def newest_backup(folder: Path | None) -> Finding:
    """Look at the tars of a folder by their times; None where nobody said which."""
    if folder is None:
        advice = "Name the folder with --backups FOLDER, and restore one now and then (docs/backup.md)."
        return Finding("backups", "nobody said where they are", advice, hint=True)
    files = [file for file in folder.glob("*.tar") if file.is_file()] if folder.is_dir() else []
    if not files:
        advice = f"./headrace backup {folder}/$(date +%F).tar, every day."
        return Finding("backups", f"there are none in {folder}", advice)
    newest = max(files, key=lambda file: file.stat().st_mtime)
    hours = (time.time() - newest.stat().st_mtime) / 3600
    state = f"the newest of {len(files)}, {newest.name}, is {hours:.0f} hours old"
    if newest.stat().st_mode & 0o077:
        return Finding("backups", f"{newest} is open to others than its owner", f"chmod 600 {newest}")
    if hours > MAX_AGE_H:
        return Finding("backups", state, "Look why no newer one was made.")
    return Finding("backups", state)
