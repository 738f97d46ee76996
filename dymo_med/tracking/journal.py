"""The journal of a run: everything that is to be sent, on disk first, one JSON line an entry."""

import json
import math
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dymo_med.utils import atomic_path, write_text

__all__ = [
    "CHILDREN_FOLDER",
    "FILES_FOLDER",
    "JOURNAL_FILE",
    "SYSTEM_FILE",
    "JournalWriter",
    "append_entry",
    "as_json_numbers",
    "count_entries",
    "is_running",
    "journals_in",
    "read_entries",
]

JOURNAL_FILE = "journal.jsonl"
"""Entries of the run, in order."""
SYSTEM_FILE = "system.jsonl"
"""Load of the machine, written by the process that sends."""
FILES_FOLDER = "files"
"""Copies of the aggregate files that entries name."""
CHILDREN_FOLDER = "children"
"""Journals of the runs nested in this one, in folders named by their keys."""

_LOCK_FILE = "writer.lock"
_TAKE_OVER_SECONDS = 30.0
"""How long a run that goes on waits for the processes of its killed predecessor to be gone."""


class JournalWriter:
    """Appends to the journal of one run; no other process can write to it meanwhile.

    A line is written at once and as a whole; half a line, left by a process that was killed in writing it, is cut off.

    Args:
        folder: Folder of the run's journal, made if absent.

    Raises:
        RuntimeError: another process writes to this journal.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> writer = JournalWriter(folder)
        >>> writer.write("metrics", step=1, values={"loss": 0.5})
        >>> writer.close()
        >>> read_entries(folder)[0]["values"]
        {'loss': 0.5}
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.folder / _LOCK_FILE)
        try:
            self._lock.acquire(timeout=_TAKE_OVER_SECONDS)
        except Timeout as err:
            raise RuntimeError(
                f"a run must be written by one process, however: another one has written to {self.folder.name} for "
                f"{_TAKE_OVER_SECONDS:.0f} s: stop it, or choose another output folder"
            ) from err
        _cut_half_line(self.folder / JOURNAL_FILE)

    def write(self, kind: str, **content: Any) -> None:
        """Append an entry.

        Args:
            kind: What the entry is; see :mod:`dymo_med.tracking.sending`.
            content: JSON values.
        """
        append_entry(self.folder / JOURNAL_FILE, kind, **content)

    def keep_file(self, path: str | Path, name: str) -> None:
        """Copy a file into the journal, whole or not at all, so that it can be sent later whatever happens to it."""
        with atomic_path(self.folder / FILES_FOLDER / name) as temporary:
            shutil.copyfile(path, temporary)

    def write_child(self, key: str, entries: Iterable[Mapping[str, Any]]) -> None:
        """Write the journal of a nested run, whole or not at all, and the entry ``child`` that has it sent.

        Args:
            key: Key of the nested run.
            entries: All its entries, from ``start`` to ``end``: ``kind`` and JSON values.
        """
        lines = [_line(**entry) for entry in entries]
        write_text(self.folder / CHILDREN_FOLDER / key / JOURNAL_FILE, "".join(lines))
        self.write("child", key=key)

    def close(self) -> None:
        """Let other processes write."""
        self._lock.release()


def append_entry(path: Path, kind: str, **content: Any) -> None:
    """Append one line to a file of entries.

    Args:
        path: File of entries.
        kind: What the entry is.
        content: JSON values; it is stamped with the time in milliseconds.
    """
    with path.open("ab", buffering=0) as file:
        file.write(_line(kind, **content).encode("utf-8"))


def count_entries(folder: str | Path, name: str = JOURNAL_FILE) -> int:
    """Give the number of entries of a run without reading what they hold; see :func:`read_entries`."""
    path = Path(folder) / name
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def read_entries(folder: str | Path, name: str = JOURNAL_FILE, start: int = 0) -> list[dict[str, Any]]:
    """Give the entries of a run, oldest first; a line that is not complete yet is no entry.

    Args:
        folder: Folder of the journal.
        name: File of entries; there is none where it is absent.
        start: Number of entries to pass over unread.

    Raises:
        ValueError: a complete line is not JSON; the text names it.
    """
    path = Path(folder) / name
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    entries = []
    for number, line in enumerate(lines[start:], start=start + 1):
        try:
            entries.append(json.loads(line))
        except ValueError as err:
            raise ValueError(
                f"every line of {name} must be JSON, however: line {number} of {len(lines)} in {path.parent.name} "
                f"begins {line[:30]!r}: the file was changed; delete this run's folder, or restore it"
            ) from err
    return entries


def is_running(folder: str | Path) -> bool:
    """Tell whether a process writes to the journal now."""
    try:
        with FileLock(Path(folder) / _LOCK_FILE, timeout=0):
            return False
    except Timeout:
        return True


def journals_in(folder: str | Path) -> list[Path]:
    """Give the folders of all journals in a folder, at any depth, by the time at which their runs began.

    Nested runs are not among them: they go with the run that they are nested in.

    Example:
        >>> import tempfile
        >>> journals_in(tempfile.mkdtemp())
        []
    """
    paths = Path(folder).rglob(JOURNAL_FILE)
    found = [path for path in paths if path.stat().st_size and path.parents[1].name != CHILDREN_FOLDER]
    return [path.parent for path in sorted(found, key=_begin)]


def _begin(path: Path) -> int:
    """Give the time of the first entry; a damaged one is found when the journal is read."""
    with path.open("rb") as file:
        try:
            return int(json.loads(file.readline())["time"])
        except (ValueError, KeyError, TypeError):
            return 0


def as_json_numbers(values: Mapping[str, float]) -> dict[str, float | str]:
    """Give numbers as JSON can hold them: what is not finite as text that ``float`` reads.

    Example:
        >>> as_json_numbers({"loss": float("nan"), "auroc": 0.5})
        {'loss': 'nan', 'auroc': 0.5}
    """
    numbers = {name: float(value) for name, value in values.items()}
    return {name: value if math.isfinite(value) else str(value) for name, value in numbers.items()}


def _line(kind: str, **content: Any) -> str:
    return json.dumps({"kind": kind, "time": time.time_ns() // 1_000_000, **content}, allow_nan=False) + "\n"


def _cut_half_line(path: Path) -> None:
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("rb+") as file:
            file.truncate(whole)
