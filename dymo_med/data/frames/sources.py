"""From an image source to the pixels that are stored, and what tells that a source has changed."""

import dataclasses
import hashlib
import json
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from dymo_med.data.frames.parts import Entry, Pixels
from dymo_med.utils import SubjectError

__all__ = ["Outcome", "ReadImage", "SourceKeys", "file_states", "find_absent", "read_source", "source_keys"]

ReadImage = Callable[[Any], tuple[npt.NDArray[np.float32], dict[str, Any]]]
"""Turns an image source into the model image (C, X, Y) and details that JSON can hold."""


_ZIP_END = struct.Struct("<4s4H2LH")
"""Last record of a zip (APPNOTE 4.3.16): signature, disks, members, size and place of the directory, comment length."""


class Outcome(NamedTuple):
    """What reading one source gave: pixels, or an error; ``key`` tells of what."""

    pixels: Pixels | None
    key: str = ""
    sha256: str = ""
    details: str = "{}"
    error: str = ""
    problem: str = ""


class SourceKeys(NamedTuple):
    """Digests of settings and source: ``image`` of what the files hold, ``failure`` also of their modification times.

    An image stays as long as what it was made of does. A source that could not be read is tried again also when only
    its time is new: it may have been repaired where no directory tells.
    """

    image: str
    failure: str


def find_absent(images: Mapping[str, Any]) -> list[Entry]:
    """Give entries for the subjects whose files cannot be opened, sorted by subject."""
    absent: list[Entry] = []
    for subject in sorted(images):
        try:
            for path in _paths(images[subject]):
                path.open("rb").close()
        except OSError as err:
            problem = SubjectError(
                f"no file can be opened ({err.strerror})", where="the image source", remedy="check that it exists"
            )
            absent.append(Entry(subject, "", -1, "", "{}", "SubjectError", str(problem)))
    return absent


def file_states(source: Any) -> list[tuple[int, int]] | None:
    """Give size in bytes and modification time in ns of each file of a source, None if one is not there."""
    try:
        return [(status.st_size, status.st_mtime_ns) for status in map(Path.stat, _paths(source))]
    except OSError:
        return None


def source_keys(source: Any, settings: Mapping[str, Any]) -> SourceKeys | None:
    """Give the digests of a source, None if it cannot be read.

    Of a zip, what its directory says of every member stands for the content: name, size and CRC-32, at its end.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "scan.nii"
        >>> _ = path.write_bytes(b"first")
        >>> before = source_keys(path, {"size": 128})
        >>> _ = path.write_bytes(b"other")
        >>> source_keys(path, {"size": 128}).image == before.image
        False
    """
    try:
        contents = [_digest_of(path) for path in _paths(source)]
    except OSError:
        return None
    image = _digest({"files": contents, "settings": settings})
    return SourceKeys(image, _digest({"image": image, "states": file_states(source)}))


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode("utf-8")).hexdigest()


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(_place_of_directory(file))
        return f"{path.stat().st_size} {hashlib.file_digest(file, 'sha256').hexdigest()}"


def _place_of_directory(file: BinaryIO) -> int:
    """Give where the directory of a plain zip begins; 0, that is the whole file, for any other."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _ZIP_END.size))
    end = file.read()
    if len(end) < _ZIP_END.size:
        return 0
    signature, *_, n_bytes, offset, comment = _ZIP_END.unpack(end)
    if (signature, comment) != (b"PK\x05\x06", 0) or offset + n_bytes + _ZIP_END.size != size:
        return 0  # no zip, one with a comment, with something before it, or of 4 GB and more
    file.seek(offset)
    return int(offset) if file.read(4) == b"PK\x01\x02" else 0


def _paths(source: Any) -> Iterator[Path]:
    if dataclasses.is_dataclass(source):
        yield from (getattr(source, field.name) for field in dataclasses.fields(source))
    else:
        yield Path(source)


def read_source(read: ReadImage, shape: tuple[int, ...], settings: Mapping[str, Any], source: Any) -> Outcome:
    """Read one source; whatever goes wrong becomes the reason why its subject has no image."""
    keys = source_keys(source, settings) or SourceKeys("", "")  # before reading: a change meanwhile is read again
    try:
        image, details = read(source)
        pixels = _as_stored(image, shape)
        sha256 = hashlib.sha256(pixels.tobytes()).hexdigest()
        return Outcome(pixels, keys.image, sha256=sha256, details=json.dumps(details))
    except SubjectError as err:
        return Outcome(None, keys.failure, error="SubjectError", problem=str(err))
    except Exception as err:  # noqa: BLE001 - whatever a damaged file provokes costs its subject, never the cohort
        name = type(err).__name__
        problem = SubjectError(f"unexpected {name}", where="the image source", remedy="look at this file by itself")
        return Outcome(None, keys.failure, error=name, problem=str(problem))


def _as_stored(image: npt.NDArray[Any], shape: tuple[int, ...]) -> Pixels:
    if image.shape != shape:
        raise SubjectError(f"image shape {image.shape}", where="the model image", remedy=f"it must be {shape}")
    if not (np.abs(image) <= np.finfo(np.float16).max).all():  # nan compares as False
        problem = "values that are not finite or too large"
        raise SubjectError(problem, where="the model image", remedy="check the intensities of this scan")
    return image.astype(np.float16)
