"""What a privacy scan reports: one line that never repeats an id."""

from dataclasses import dataclass, replace
from enum import StrEnum

from dymo_med.privacy.numbers import masked

__all__ = ["Finding", "Kind"]


class Kind(StrEnum):
    """What was found; these are the words of an allow file.

    ``ID`` numbers like participant ids in content; ``ID_IN_NAME`` in a path; ``ID_COLUMN`` a table column of ids;
    ``NOTEBOOK_OUTPUT`` stored results of a notebook; ``DICOM`` and ``NIFTI`` scans; ``TABLE`` a table or array over
    the size limit; ``PICKLE`` objects that cannot be looked into without running them; ``ARCHIVE`` packed files;
    ``UNREADABLE`` content that could not be examined as a whole.
    """

    ID = "id"
    ID_IN_NAME = "id-in-name"
    ID_COLUMN = "id-column"
    NOTEBOOK_OUTPUT = "notebook-output"
    DICOM = "dicom"
    NIFTI = "nifti"
    TABLE = "table"
    PICKLE = "pickle"
    ARCHIVE = "archive"
    UNREADABLE = "unreadable"


_REMEDY = {
    Kind.ID: "take the ids out",
    Kind.ID_IN_NAME: "rename it",
    Kind.ID_COLUMN: "take the column out, or keep the table out of what is shared",
    Kind.NOTEBOOK_OUTPUT: "clear all outputs (jupyter nbconvert --clear-output --inplace)",
    Kind.DICOM: "keep scans out of what is shared",
    Kind.NIFTI: "keep scans out of what is shared",
    Kind.TABLE: "keep individual-level data out, share aggregates",
    Kind.PICKLE: "keep it out, or store the content as JSON or safetensors",
    Kind.ARCHIVE: "unpack it and scan the content",
    Kind.UNREADABLE: "look at it by hand",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing in one file.

    Args:
        kind: What it is.
        why: What was seen, without the value.
        path: File inside the folder or repository, with ``/``; it may hold an id, so it is masked when shown.
        line: Line of the first occurrence, None where lines mean nothing.
        version: Short name of the stored version in a git history, empty for a file on the disk.

    Example:
        >>> str(Finding(kind=Kind.ID, why="2 numbers like participant ids", path="notes/4" + "321987.txt", line=3))
        'notes/#######.txt:3: id: 2 numbers like participant ids; take the ids out'
    """

    kind: Kind
    why: str
    path: str = ""
    line: int | None = None
    version: str = ""

    def at(self, path: str, version: str = "") -> "Finding":
        """Give the same finding in a named file.

        Example:
            >>> Finding(kind=Kind.DICOM, why="a DICOM file").at("a/b").path
            'a/b'
        """
        return replace(self, path=path, version=version)

    def __str__(self) -> str:
        line = f":{self.line}" if self.line else ""
        version = f" (in history, version {self.version})" if self.version else ""
        remedy = _REMEDY[self.kind] + (", then rewrite the history before it is pushed" if self.version else "")
        shown = masked(self.path).encode("unicode_escape").decode("ascii")
        return f"{shown}{line}{version}: {self.kind}: {self.why}; {remedy}"
