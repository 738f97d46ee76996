"""A privacy scan over folders, files or a git history."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dymo_med.privacy.allowances import Allowances
from dymo_med.privacy.content import Bounds, examine
from dymo_med.privacy.findings import Finding, Kind
from dymo_med.privacy.numbers import holds_id
from dymo_med.privacy.sources import Source, folder_files, history

__all__ = ["ScanResult", "scan_history", "scan_paths"]

DEFAULT_BOUNDS = Bounds()


@dataclass
class ScanResult:
    """What a scan found.

    Args:
        findings: What must not be shared, in the order of paths.
        n_files: Files, or stored versions of files, that were examined.
        n_allowed: Findings that the allow file covers.

    Example:
        >>> ScanResult().findings
        []
    """

    findings: list[Finding] = field(default_factory=list)
    n_files: int = 0
    n_allowed: int = 0


def scan_paths(paths: Sequence[Path], allowed: Allowances, bounds: Bounds = DEFAULT_BOUNDS) -> ScanResult:
    """Scan files and folders.

    Args:
        paths: What to scan; the top folder of a git checkout without what git ignores.
        allowed: Findings that may stay.
        bounds: Sizes that matter.

    Raises:
        FileNotFoundError: a path does not exist.
        OSError: a file cannot be read.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "notes.txt").write_text("participant 4" + "321987 left")
        >>> [str(finding) for finding in scan_paths([folder], Allowances()).findings]
        ['notes.txt:1: id: 1 number(s) like participant ids; take the ids out']
    """
    return _scan((source for path in paths for source in folder_files(path, bounds.content_bytes)), allowed, bounds)


def scan_history(repository: Path, allowed: Allowances, bounds: Bounds = DEFAULT_BOUNDS) -> ScanResult:
    """Scan every version of every file, and the texts of commits and tags, in all branches and tags of a repository.

    Args:
        repository: Folder of a git repository; only git itself is needed.
        allowed: Findings that may stay.
        bounds: Sizes that matter.

    Raises:
        ValueError: the folder is no git repository.
        FileNotFoundError: git is not installed.
    """
    return _scan(history(repository, bounds.content_bytes), allowed, bounds)


def _scan(sources: Iterable[Source], allowed: Allowances, bounds: Bounds) -> ScanResult:
    result = ScanResult()
    for source in sources:
        result.n_files += 1
        for finding in _findings(source, bounds):
            if allowed.covers(finding):
                result.n_allowed += 1
            else:
                result.findings.append(finding)
    return result


def _findings(source: Source, bounds: Bounds) -> Iterator[Finding]:
    if holds_id(source.path.encode("utf-8", "surrogateescape")):
        why = "a number like a participant id in the name"
        yield Finding(kind=Kind.ID_IN_NAME, why=why, path=source.path, version=source.version)
    for finding in examine(source.path, source.content, bounds, n_bytes=source.n_bytes):
        yield finding.at(source.path, source.version)
