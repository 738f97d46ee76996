"""Zip archives of DICOM files, read member by member in memory under limits."""

import io
import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path, PureWindowsPath

from dymo_med.utils import SubjectError, check_positive_int

__all__ = ["IntakeLimits", "MemberArchive", "member_errors", "shown"]

RATIO_FREE_BYTES = 1 << 20
"""Members that inflate to no more than this are exempt from the ratio rule: they cannot exhaust anything."""

DIRECTORY_BYTES_PER_MEMBER = 1024
"""Room for one entry of an archive's directory: 46 bytes, a name of some 60, and what tools add."""

END_RECORD = b"PK\x05\x06"
LARGE_END_LOCATOR = b"PK\x06\x07"


@dataclass(frozen=True, kw_only=True)
class IntakeLimits:
    """Bounds on what a file may cost before it is refused.

    The defaults leave a factor of ten over the largest short-axis downloads known (some 1,000 files of 100 kB).

    Args:
        max_members: Files inside one archive.
        max_member_bytes: Inflated size of one file.
        max_total_bytes: Bytes inflated from one archive, or held by one NIfTI file; also bounds the archive itself.
        max_ratio: Inflated over stored size of one file; deflate reaches 1032 on constant bytes, images about 10.
        max_rows_columns: Pixels along either side of a frame.

    Raises:
        ValueError: a bound is not a positive integer.

    Example:
        >>> IntakeLimits(max_members=2000).max_members
        2000
    """

    max_members: int = 10_000
    max_member_bytes: int = 64 << 20
    max_total_bytes: int = 2 << 30
    max_ratio: int = 200
    max_rows_columns: int = 2048

    def __post_init__(self) -> None:
        for field in fields(self):
            check_positive_int(field.name, getattr(self, field.name))


class MemberArchive:
    """One zip archive whose members were vetted by name, kind and size before any of them is inflated.

    The stored bytes are held in memory, so that no file stays open and nothing is ever written to disk. Every inflated
    byte counts towards ``limits.max_total_bytes``, whatever the archive's own directory claims.

    Args:
        path: Zip file.
        limits: Bounds to keep.

    Raises:
        SubjectError: the file cannot be read, is not a zip, or a member breaks a rule.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "scan.zip"
        >>> with zipfile.ZipFile(path, "w") as file:
        ...     file.writestr("a.dcm", b"0123456789")
        >>> archive = MemberArchive(path, IntakeLimits())
        >>> archive.read_head(archive.members[0], 4)
        b'0123'
    """

    def __init__(self, path: Path, limits: IntakeLimits) -> None:
        self._limits = limits
        self._inflated_bytes = 0
        self._zip = _open_zip(path, limits)
        if len(self._zip.infolist()) > limits.max_members:
            raise _refusal(f"{len(self._zip.infolist())} members, more than the limit of {limits.max_members}")
        _vet_members(self._zip.infolist(), limits)
        self.members = tuple(info for info in self._zip.infolist() if not info.is_dir())

    def read_head(self, info: zipfile.ZipInfo, n_bytes: int) -> bytes:
        """Give the first bytes of a member; the rest is not inflated and the checksum not verified."""
        with self._zip.open(info) as member:
            head = member.read(n_bytes)
        self._count(len(head))
        return head

    def read(self, info: zipfile.ZipInfo) -> bytes:
        """Give a whole member; its length and checksum are verified.

        Raises:
            SubjectError: the member is shorter than its directory entry says, or the budget is spent.
        """
        content = self._zip.read(info)
        self._count(len(content))
        if len(content) != info.file_size:
            raise SubjectError(
                f"{len(content)} bytes where the directory announces {info.file_size}",
                where=f"archive member {shown(info.filename)}",
                remedy="download the zip again",
            )
        return content

    def _count(self, n_bytes: int) -> None:
        self._inflated_bytes += n_bytes
        if self._inflated_bytes > self._limits.max_total_bytes:
            raise _refusal(f"{self._inflated_bytes} bytes inflated, over the limit of {self._limits.max_total_bytes}")


@contextmanager
def member_errors(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises inside the block into a :class:`SubjectError` that names the member.

    The decoder's own text is left out, for it may quote header values.

    Args:
        name: Name of the member.

    Raises:
        SubjectError: anything was raised inside the block.
    """
    try:
        yield
    except SubjectError:
        raise
    except Exception as err:  # damaged bytes surface as any type, RecursionError and MemoryError among them
        raise SubjectError(
            f"unreadable content ({type(err).__name__})",
            where=f"archive member {shown(name)}",
            remedy="download the zip again",
        ) from err


def shown(text: str) -> str:
    r"""Quote foreign text for a message: one line, ASCII, at most 60 characters, registry-like numbers blotted out.

    Example:
        >>> shown("slice\n1234567.dcm")
        "'slice\\n#######.dcm'"
    """
    return ascii(re.sub(r"(?<!\d)\d{7}(?!\d)", "#######", text)[:60])


def _open_zip(path: Path, limits: IntakeLimits) -> zipfile.ZipFile:
    try:
        n_bytes = path.stat().st_size
        if n_bytes > limits.max_total_bytes:
            raise _refusal(f"{n_bytes} bytes, over the limit of {limits.max_total_bytes}")
        content = path.read_bytes()
        if (n_bytes := _directory_bytes(content)) > limits.max_members * DIRECTORY_BYTES_PER_MEMBER:
            raise _refusal(f"a directory of {n_bytes} bytes, too long for the limit of {limits.max_members} members")
        return zipfile.ZipFile(io.BytesIO(content))
    except OSError as err:
        raise SubjectError(
            f"unreadable file ({err.strerror or type(err).__name__})",
            where="the cine zip",
            remedy="check that the file is there and may be read",
        ) from err
    except SubjectError:
        raise
    except Exception as err:  # a damaged directory surfaces as any type
        raise SubjectError(
            f"no readable archive directory ({type(err).__name__})",
            where="the cine zip",
            remedy="the file is truncated or no zip: download it again",
        ) from err


def _directory_bytes(content: bytes) -> int:
    """Give the announced size of the archive's directory, of which zipfile would make objects before they are counted.

    Source:
        APPNOTE.TXT (ZIP file format specification) 4.3.14 to 4.3.16.
    """
    end = len(content) - 22
    if content[end : end + 4] != END_RECORD or content[-2:] != b"\0\0":  # there is a comment behind it
        end = content.rfind(END_RECORD, max(0, end - 0xFFFF))
    if end < 0:
        return 0  # no archive, which zipfile will say
    if content[end - 20 : end - 16] == LARGE_END_LOCATOR:
        return int.from_bytes(content[end - 36 : end - 28], "little")
    return int.from_bytes(content[end + 12 : end + 16], "little")


def _vet_members(members: list[zipfile.ZipInfo], limits: IntakeLimits) -> None:
    seen: set[str] = set()
    for info in members:
        problem = _member_problem(info, limits)
        if info.filename in seen:
            problem = "a second member of the same name"
        if problem:
            raise SubjectError(
                problem,
                where=f"archive member {shown(info.orig_filename)}",
                remedy="the archive is not as the registry writes it: download it again",
            )
        seen.add(info.filename)
    total = sum(info.file_size for info in members)
    if total > limits.max_total_bytes:
        raise _refusal(f"{total} bytes announced, over the limit of {limits.max_total_bytes}")


def _member_problem(info: zipfile.ZipInfo, limits: IntakeLimits) -> str | None:
    if not info.filename:
        return "no name"
    if _points_outside(info.orig_filename):
        return "a name that points outside the archive"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "a symbolic link"
    if info.flag_bits & 0x1:
        return "encrypted content"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"compression method {info.compress_type} instead of stored or deflate"
    if info.file_size > limits.max_member_bytes:
        return f"{info.file_size} bytes, over the limit of {limits.max_member_bytes} for one member"
    ratio = info.file_size / max(info.compress_size, 1)
    if info.file_size > RATIO_FREE_BYTES and ratio > limits.max_ratio:
        return f"inflation by {ratio:.0f}, over the limit of {limits.max_ratio}"
    return None


def _points_outside(name: str) -> bool:
    if name.replace(".", "").isalnum() and ".." not in name:
        return False  # the plain names of nearly all members, judged without building a path
    path = PureWindowsPath(name)  # knows both kinds of slash and drive letters
    return bool(path.anchor) or ".." in path.parts or "\0" in name


def _refusal(problem: str) -> SubjectError:
    return SubjectError(
        problem, where="the cine zip", remedy="check the file; if it is genuine, raise the bound in IntakeLimits"
    )
