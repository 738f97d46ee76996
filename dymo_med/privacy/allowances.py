"""What a person has looked at and allows, with the reason."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from dymo_med.privacy.findings import Finding, Kind

__all__ = ["ALLOW_FILE", "Allowances"]

ALLOW_FILE = ".privacy-allow"
"""Name of the allow file, sought in the folder that is scanned."""


@dataclass(frozen=True)
class _Allowance:
    pattern: str
    kind: Kind


class Allowances:
    """Findings that are no fault, by path and kind.

    The file has one line for each: ``path pattern | kind | reason``. Patterns match the whole path with ``/``; ``*``
    stands for any text. ``path@version`` names one stored version in a git history, and allows nothing in the files of
    today. ``#`` begins a comment line.

    Args:
        entries: Pairs of path pattern and kind.

    Example:
        >>> allowed = Allowances([("tests/data/*.csv", Kind.ID_COLUMN)])
        >>> allowed.covers(Finding(kind=Kind.ID_COLUMN, why="a column", path="tests/data/small.csv"))
        True
    """

    def __init__(self, entries: Iterable[tuple[str, Kind]] = ()) -> None:
        self._entries = [_Allowance(pattern, kind) for pattern, kind in entries]

    @classmethod
    def from_file(cls, path: Path) -> "Allowances":
        """Read an allow file.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: a line lacks a part, names an unknown kind, or gives no reason.
        """
        if not path.is_file():
            raise FileNotFoundError(f"no allow file {path.name}: pass the file that lists what may stay, with reasons")
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        return cls(
            _entry(line, f"{path.name}, line {number}")
            for number, line in enumerate(lines, start=1)
            if line.strip() and not line.lstrip().startswith("#")
        )

    def covers(self, finding: Finding) -> bool:
        """Tell whether a finding is allowed.

        Args:
            finding: What was found.
        """
        names = [finding.path, f"{finding.path}@{finding.version}"] if finding.version else [finding.path]
        return any(
            entry.kind == finding.kind and fnmatchcase(name, entry.pattern) for entry in self._entries for name in names
        )


def _entry(line: str, where: str) -> tuple[str, Kind]:
    parts = [part.strip() for part in line.split("|", maxsplit=2)]
    if len(parts) != 3 or not all(parts):
        raise ValueError(
            f"an allowance must read 'path pattern | kind | reason', however: {len([p for p in parts if p])} parts in "
            f"{where}: complete it"
        )
    known = [kind.value for kind in Kind]
    if parts[1] not in known:
        raise ValueError(f"an allowance must name one of {known}, however: {parts[1]!r} in {where}: correct it")
    return parts[0], Kind(parts[1])
