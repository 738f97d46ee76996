"""Examination of one file's content, by what it is and not by what it is called."""

import gzip
import io
import json
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath

from dymo_med.privacy.findings import Finding, Kind
from dymo_med.privacy.numbers import holds_id, id_positions
from dymo_med.privacy.tables import examine_array, examine_database, examine_parquet, examine_text_table

__all__ = ["Bounds", "examine"]

_PACKED = (b"\xfd7zXZ", b"BZh", b"7z\xbc\xaf\x27\x1c", b"Rar!", b"\x28\xb5\x2f\xfd")  # xz, bzip2, 7z, rar, zstandard
_OTHER_TABLES = {".xlsx", ".xls", ".feather", ".arrow", ".h5", ".hdf5", ".mat", ".rds", ".rdata", ".dta", ".sav"}
_TEXT_TABLES = {".csv", ".tsv", ".tab"}
_PICKLES = {".pkl", ".pickle", ".joblib"}


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Sizes that matter to a scan.

    Args:
        table_bytes: Tables and arrays above this size are reported even if nothing in them looks like an id: results
            that may be shared are small.
        content_bytes: No more than this of a file is held in memory, packed content included; what is larger is
            reported as not examined as a whole.

    Example:
        >>> Bounds(table_bytes=1000).content_bytes
        67108864
    """

    table_bytes: int = 100_000
    content_bytes: int = 64 << 20


def examine(name: str, content: bytes, bounds: Bounds, *, n_bytes: int | None = None) -> list[Finding]:
    """Find what must not be shared in one file.

    Args:
        name: File name or path; its ending matters where the content does not tell what it is.
        content: The file, or as much of it as ``bounds`` allow.
        bounds: Sizes that matter.
        n_bytes: Size of the whole file; None for that of ``content``.

    Returns:
        Findings without a path, one for each kind.

    Example:
        >>> examine("scan", bytes(128) + b"DICM", Bounds())[0].kind.value
        'dicom'
    """
    n_bytes = len(content) if n_bytes is None else n_bytes
    suffix = PurePosixPath(name).suffix.lower()
    findings = _by_kind(suffix, content, n_bytes, bounds)
    if n_bytes > len(content):
        findings.append(Finding(kind=Kind.UNREADABLE, why=f"{n_bytes} bytes, of which {len(content)} were examined"))
    return findings


def _by_kind(suffix: str, content: bytes, n_bytes: int, bounds: Bounds) -> list[Finding]:
    if content[128:132] == b"DICM" or suffix == ".dcm":
        return [Finding(kind=Kind.DICOM, why="a DICOM file")]
    if content[344:348] in (b"n+1\0", b"ni1\0"):
        return [Finding(kind=Kind.NIFTI, why="a NIfTI image")]
    if content.startswith(b"PK\x03\x04"):
        return _examine_zip(content, bounds)
    if content.startswith(b"\x1f\x8b"):
        return _examine_gzip(suffix, content, bounds)
    if content.startswith(_PACKED) or content[257:262] == b"ustar":
        return [Finding(kind=Kind.ARCHIVE, why="packed files")]
    if (content.startswith(b"\x80") and content[1:2] in b"\x02\x03\x04\x05") or suffix in _PICKLES:
        return [Finding(kind=Kind.PICKLE, why="pickled objects")]
    size = [Finding(kind=Kind.TABLE, why=f"a table of {n_bytes} bytes")] if n_bytes > bounds.table_bytes else []
    if content.startswith(b"PAR1"):
        return examine_parquet(content) + size
    if content.startswith(b"\x93NUMPY"):
        return examine_array(content) + size
    if content.startswith(b"SQLite format 3\0"):
        return examine_database(content)
    if suffix in _OTHER_TABLES:
        return _ids(content) + size
    if suffix == ".ipynb":
        return _examine_notebook(content) + _ids(content)
    if suffix in (*_TEXT_TABLES, ".txt"):
        return examine_text_table(content) + _ids(content) + (size if suffix in _TEXT_TABLES else [])
    return _ids(content)


def _ids(content: bytes) -> list[Finding]:
    positions = list(id_positions(content))
    if not positions:
        return []
    line = None if b"\0" in content[:8192] else content.count(b"\n", 0, positions[0]) + 1
    return [Finding(kind=Kind.ID, why=f"{len(positions)} number(s) like participant ids", line=line)]


def _examine_notebook(content: bytes) -> list[Finding]:
    try:
        cells = json.loads(content)["cells"]
        n_outputs = sum(bool(cell.get("outputs")) for cell in cells)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
        return [Finding(kind=Kind.UNREADABLE, why=f"a notebook that cannot be read ({type(err).__name__})")]
    return [Finding(kind=Kind.NOTEBOOK_OUTPUT, why=f"{n_outputs} cell(s) with output")] if n_outputs else []


def _examine_gzip(suffix: str, content: bytes, bounds: Bounds) -> list[Finding]:
    inner = "packed.csv" if suffix == ".gz" else f"packed{suffix}"
    try:
        with gzip.open(io.BytesIO(content)) as file:
            unpacked = file.read(bounds.content_bytes)
            is_whole = not file.read(1)
    except (OSError, EOFError, zlib.error) as err:
        return [Finding(kind=Kind.UNREADABLE, why=f"gzip content that cannot be unpacked ({type(err).__name__})")]
    return examine(inner, unpacked, bounds, n_bytes=len(unpacked) + (not is_whole))


def _examine_zip(content: bytes, bounds: Bounds) -> list[Finding]:
    """Count what the members hold; zips inside zips are not opened."""
    kinds: Counter[str] = Counter()
    left = bounds.content_bytes
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            for info in members:
                with archive.open(info) as file:
                    unpacked = file.read(max(min(left, info.file_size), 0))
                left -= len(unpacked)
                if not unpacked.startswith((b"PK\x03\x04", b"\x1f\x8b")):
                    kinds.update(finding.kind for finding in examine(info.filename, unpacked, bounds))
                if holds_id(info.filename.encode()):
                    kinds[Kind.ID_IN_NAME] += 1
    except Exception as err:  # noqa: BLE001 - damaged archives surface as any type
        return [Finding(kind=Kind.ARCHIVE, why=f"an archive that cannot be unpacked ({type(err).__name__})")]
    held = "".join(f", {count} with {kind}" for kind, count in sorted(kinds.items()))
    part = "" if left > 0 else f", examined up to {bounds.content_bytes} bytes"
    return [Finding(kind=Kind.ARCHIVE, why=f"an archive of {len(members)} files{held}{part}")]
