"""The files in which model images lie: per part of the subjects one file of pixels and one index.

A subject's part follows from its pseudonym alone, rows are sorted by pseudonym, and a file of pixels is named after its
content. So the files depend on what was read, never on the order in which, on how many processes, or in how many runs.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dymo_med.utils import atomic_path

__all__ = ["Entry", "Part", "StoredPart", "n_parts_of", "open_pixels", "part_number", "read_part", "write_part"]

MAX_IMAGES = 512
"""Images of a part on average at most: large files, and no more than these to read again after a cut."""

VERSION = 2

Pixels = npt.NDArray[np.float16]


class Entry(NamedTuple):
    """One row of an index; ``row`` is -1 where the image could not be read, with the reason in ``problem``."""

    subject_id: str
    key: str
    row: int
    sha256: str
    details: str
    error: str
    problem: str


@dataclass(frozen=True)
class Part:
    """One part of how many.

    Args:
        number: From 1 to ``count``.
        count: A power of two.

    Example:
        >>> Part(3, 8).name
        'part-003-of-008'
    """

    number: int
    count: int

    @property
    def name(self) -> str:
        """Begin the names of its files."""
        return f"part-{self.number:03d}-of-{self.count:03d}"

    @property
    def index_name(self) -> str:
        """Name its index."""
        return f"{self.name}.parquet"

    @classmethod
    def of_index(cls, path: Path) -> "Part | None":
        """Give the part that a file is the index of, None if it is none."""
        match = re.fullmatch(r"part-(\d+)-of-(\d+)\.parquet", path.name)
        return cls(int(match[1]), int(match[2])) if match else None


class StoredPart(NamedTuple):
    """An index as it was read: shape (C, X, Y) of the images, name of the file of pixels ("" for none), rows."""

    shape: tuple[int, ...]
    pixel_name: str
    entries: list[Entry]


def n_parts_of(n_images: int) -> int:
    """Give the number of parts: the smallest power of two that leaves no more than 512 images to each on average.

    Example:
        >>> n_parts_of(0), n_parts_of(512), n_parts_of(513), n_parts_of(100_000)
        (1, 1, 2, 256)
    """
    count = 1
    while count * MAX_IMAGES < n_images:
        count *= 2
    return count


def part_number(subject_id: str, count: int) -> int:
    """Give the part of a subject, from 1 to ``count``.

    Example:
        >>> part_number("S1", 1), part_number("S1", 8)
        (1, 2)
    """
    return int(hashlib.sha256(subject_id.encode("utf-8")).hexdigest()[:8], 16) % count + 1


def open_pixels(folder: Path, name: str) -> Pixels:
    """Map a file of pixels (N, C, X, Y) into memory.

    Raises:
        OSError: it is gone or damaged.
    """
    try:
        pixels: Pixels = np.load(folder / name, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as err:
        raise OSError(f"{name} is gone or damaged ({type(err).__name__}): prepare the cohort again") from err
    return pixels


def read_part(path: Path) -> StoredPart:
    """Read an index.

    Raises:
        ValueError: it is damaged or of another version.
    """
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as err:
        raise ValueError(f"{path.name} is damaged ({type(err).__name__}): prepare the cohort again") from err
    about = json.loads((table.schema.metadata or {}).get(b"dymo_med", b"{}"))
    if about.get("version") != VERSION:
        found = about.get("version")
        raise ValueError(f"{path.name} must be of version {VERSION}, however: {found!r}: prepare the cohort again")
    return StoredPart(tuple(about["shape"]), about["pixels"], [Entry(**row) for row in table.to_pylist()])


def write_part(folder: Path, part: Part, entries: list[Entry], pixels: list[Pixels], shape: tuple[int, ...]) -> None:
    """Write a part; the index comes last, and with it the new pixels replace the old ones.

    Args:
        folder: Folder of the store.
        part: Which one.
        entries: Sorted by subject.
        pixels: Images of those entries that have a row, in order.
        shape: Shape (C, X, Y) of every image.

    Raises:
        OSError: the disk is full.
    """
    pixel_name = _write_pixels(folder, part, pixels) if pixels else ""
    types = {str: pa.string(), int: pa.int64()}
    schema = pa.schema([(name, types[kind]) for name, kind in Entry.__annotations__.items()])
    about = json.dumps({"version": VERSION, "shape": list(shape), "pixels": pixel_name})
    table = pa.Table.from_pylist([entry._asdict() for entry in entries], schema=schema)
    with atomic_path(folder / part.index_name) as temporary:
        pq.write_table(table.replace_schema_metadata({"dymo_med": about}), temporary)
    for path in folder.glob(f"{part.name}-*.npy"):
        if path.name != pixel_name:
            path.unlink(missing_ok=True)


def _write_pixels(folder: Path, part: Part, pixels: list[Pixels]) -> str:
    buffer = BytesIO()
    np.save(buffer, np.stack(pixels), allow_pickle=False)
    content: Any = buffer.getbuffer()
    name = f"{part.name}-{hashlib.sha256(content).hexdigest()[:16]}.npy"
    with atomic_path(folder / name) as temporary:
        temporary.write_bytes(content)
    return name
