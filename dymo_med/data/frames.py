"""Model images of all subjects in a few large files, made in parallel and made once."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dymo_med.data.parallel import map_in_order
from dymo_med.utils import SubjectError, atomic_path

__all__ = ["FrameStore", "ReadImage", "write_frames"]

ReadImage = Callable[[Any], tuple[npt.NDArray[np.float32], dict[str, Any]]]
"""Turns an image source into the model image (C, X, Y) and details that JSON can hold."""

_INDEX = "index.parquet"
_VERSION = 1
_SHARD_SIZE = 512


class _Entry(NamedTuple):
    """One row of the index; ``shard`` is -1 where the image could not be read, with the reason in ``problem``."""

    subject_id: str
    key: str
    shard: int
    row: int
    sha256: str
    details: str
    error: str
    problem: str


class _Outcome(NamedTuple):
    """What reading one source gave: pixels, or an error."""

    pixels: npt.NDArray[np.float16] | None
    sha256: str = ""
    details: str = "{}"
    error: str = ""
    problem: str = ""


class FrameStore:
    """Model images of a cohort, memory-mapped from shards ``frames-00000.npy`` of float16.

    Args:
        folder: Folder that :func:`write_frames` wrote.

    Raises:
        FileNotFoundError: the folder holds no index.
        ValueError: the index is damaged or of another format version.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> _ = write_frames(folder, {}, read=lambda source: (source, {}), shape=(3, 4, 4), settings={})
        >>> store = FrameStore(folder)
        >>> len(store), store.shape
        (0, (3, 4, 4))
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        table = _read_index(self.folder)
        self.shape: tuple[int, ...] = tuple(json.loads(table.schema.metadata[b"dymo_med"])["shape"])
        self._entries = {entry.subject_id: entry for entry in _entries_of(table)}
        self._shards: dict[int, npt.NDArray[np.float16]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files behind when the store goes to another process."""
        return {**self.__dict__, "_shards": {}}

    def __contains__(self, subject_id: object) -> bool:
        return subject_id in self._entries and self._entries[str(subject_id)].shard >= 0

    def __len__(self) -> int:
        return sum(entry.shard >= 0 for entry in self._entries.values())

    @property
    def problems(self) -> dict[str, str]:
        """Subject to the reason why its image could not be read."""
        return {entry.subject_id: entry.problem for entry in self._entries.values() if entry.shard < 0}

    @property
    def details(self) -> pd.DataFrame:
        """What reading told about each image, index ``subject_id``."""
        stored = {entry.subject_id: json.loads(entry.details) for entry in self._entries.values() if entry.shard >= 0}
        return pd.DataFrame.from_dict(stored, orient="index").convert_dtypes().rename_axis("subject_id")

    @property
    def digest(self) -> str:
        """SHA-256 over subjects and pixels as hexadecimal text, whatever the shards they lie in."""
        lines = sorted(f"{entry.subject_id} {entry.sha256}" for entry in self._entries.values() if entry.shard >= 0)
        return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()

    def read(self, subject_id: str) -> npt.NDArray[np.float32]:
        """Give the image of a subject, (C, X, Y) float32.

        Raises:
            KeyError: the store has no image of this subject.
            OSError: a shard is gone or damaged.
        """
        if subject_id not in self:
            raise KeyError(
                f"no image of subject {subject_id!r} among the {len(self)} of the store: it may be set aside"
            )
        entry = self._entries[subject_id]
        if entry.shard not in self._shards:
            self._shards[entry.shard] = _open_shard(self.folder, entry.shard)
        image: npt.NDArray[np.float32] = self._shards[entry.shard][entry.row].astype(np.float32)
        return image


def write_frames(
    folder: str | Path,
    images: Mapping[str, Any],
    read: ReadImage,
    *,
    shape: tuple[int, ...],
    settings: Mapping[str, Any],
    n_workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> FrameStore:
    """Read all images and store what a network needs of them.

    An image that cannot be read costs its subject only: the reason stands in the store's ``problems``. Run again, only
    images whose file size, modification time or ``settings`` changed are read, and those that failed unexpectedly.
    A run that was cut off keeps its finished shards.

    Args:
        folder: Folder of the store.
        images: Subject to source: a path, or a dataclass of paths.
        read: Picklable function from source to image and details.
        shape: Shape (C, X, Y) that every image must have.
        settings: What else decides about the pixels, as JSON can hold it: size, spacing, version.
        n_workers: Number of processes.
        progress: Called with (done, total) after every image.

    Raises:
        OSError: the disk is full or a worker process died; finished shards are kept.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> np.save(folder / "scan.npy", np.full((1, 2, 2), 0.5))
        >>> read = lambda path: (np.load(path), {"slice_index": 3})
        >>> store = write_frames(folder / "frames", {"S1": folder / "scan.npy"}, read, shape=(1, 2, 2), settings={})
        >>> store.read("S1").sum(), int(store.details.loc["S1", "slice_index"])
        (np.float32(2.0), 3)
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".*-*"):
        leftover.unlink()
    keys, entries = _keys(images, {"shape": list(shape), **settings})
    previous = _previous_entries(folder)
    entries += [entry for entry in _reusable(folder, previous) if entry.key == keys.get(entry.subject_id)]
    todo = sorted(set(keys) - {entry.subject_id for entry in entries})
    results = map_in_order(partial(_read_one, read, shape), [images[subject] for subject in todo], n_workers=n_workers)
    shard = _unused_number(folder, previous)
    pixels: list[npt.NDArray[np.float16]] = []
    for done, (subject, outcome) in enumerate(zip(todo, results, strict=True), start=1):
        place = (-1, 0) if outcome.pixels is None else (shard, len(pixels))
        entries.append(_Entry(subject, keys[subject], *place, *outcome[1:]))
        if outcome.pixels is not None:
            pixels.append(outcome.pixels)
        if progress is not None:
            progress(done, len(todo))
        if len(pixels) == _SHARD_SIZE:
            _write_shard(folder, shard, pixels)
            _write_index(folder, entries, shape)
            shard, pixels = shard + 1, []
    if pixels:
        _write_shard(folder, shard, pixels)
    _write_index(folder, entries, shape)
    _remove_unused(folder, {entry.shard for entry in entries})
    return FrameStore(folder)


def _keys(images: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[dict[str, str], list[_Entry]]:
    keys: dict[str, str] = {}
    absent: list[_Entry] = []
    for subject in sorted(images):
        try:
            sizes = [(status.st_size, status.st_mtime_ns) for status in map(Path.stat, _paths(images[subject]))]
        except OSError as err:
            problem = SubjectError(
                f"no file can be opened ({err.strerror})", where="the image source", remedy="check that it exists"
            )
            absent.append(_Entry(subject, "", -1, 0, "", "{}", "SubjectError", str(problem)))
            continue
        text = json.dumps({"files": sizes, "settings": settings}, sort_keys=True, allow_nan=False)
        keys[subject] = hashlib.sha256(text.encode("utf-8")).hexdigest()
    return keys, absent


def _paths(source: Any) -> Iterator[Path]:
    if dataclasses.is_dataclass(source):
        yield from (getattr(source, field.name) for field in dataclasses.fields(source))
    else:
        yield Path(source)


def _read_one(read: ReadImage, shape: tuple[int, ...], source: Any) -> _Outcome:
    try:
        image, details = read(source)
        pixels = _as_stored(image, shape)
        return _Outcome(pixels, sha256=hashlib.sha256(pixels.tobytes()).hexdigest(), details=json.dumps(details))
    except SubjectError as err:
        return _Outcome(None, error="SubjectError", problem=str(err))
    except Exception as err:  # noqa: BLE001 - whatever a damaged file provokes costs its subject, never the cohort
        name = type(err).__name__
        problem = SubjectError(f"unexpected {name}", where="the image source", remedy="look at this file by itself")
        return _Outcome(None, error=name, problem=str(problem))


def _as_stored(image: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[np.float16]:
    if image.shape != shape:
        raise SubjectError(f"image shape {image.shape}", where="the model image", remedy=f"it must be {shape}")
    if not (np.abs(image) <= np.finfo(np.float16).max).all():  # nan compares as False
        problem = "values that are not finite or too large"
        raise SubjectError(problem, where="the model image", remedy="check the intensities of this scan")
    return image.astype(np.float16)


def _previous_entries(folder: Path) -> list[_Entry]:
    try:
        return _entries_of(_read_index(folder))
    except (FileNotFoundError, ValueError):
        return []


def _reusable(folder: Path, entries: list[_Entry]) -> list[_Entry]:
    """Keep the entries whose image is still there, or whose fault lies in the file."""
    whole = {shard for shard in {entry.shard for entry in entries} if shard >= 0 and _is_whole(folder, shard)}
    return [entry for entry in entries if entry.shard in whole or entry.error == "SubjectError"]


def _is_whole(folder: Path, shard: int) -> bool:
    try:
        _open_shard(folder, shard)
    except OSError:
        return False
    return True


def _unused_number(folder: Path, entries: list[_Entry]) -> int:
    """Give a shard number that is neither on disk nor in the last index, which must stay true until the next one."""
    on_disk = [int(path.stem.removeprefix("frames-")) for path in folder.glob("frames-*.npy")]
    return 1 + max([*on_disk, *(entry.shard for entry in entries)], default=-1)


def _shard_path(folder: Path, shard: int) -> Path:
    return folder / f"frames-{shard:05d}.npy"


def _open_shard(folder: Path, shard: int) -> npt.NDArray[np.float16]:
    path = _shard_path(folder, shard)
    try:
        pixels: npt.NDArray[np.float16] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as err:
        raise OSError(f"{path.name} is gone or damaged ({type(err).__name__}): prepare the cohort again") from err
    return pixels


def _write_shard(folder: Path, shard: int, pixels: list[npt.NDArray[np.float16]]) -> None:
    buffer = BytesIO()
    np.save(buffer, np.stack(pixels), allow_pickle=False)
    with atomic_path(_shard_path(folder, shard)) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def _write_index(folder: Path, entries: list[_Entry], shape: tuple[int, ...]) -> None:
    table = pa.Table.from_pylist([entry._asdict() for entry in sorted(entries)], schema=_index_schema())
    about = json.dumps({"version": _VERSION, "shape": list(shape)})
    with atomic_path(folder / _INDEX) as temporary:
        pq.write_table(table.replace_schema_metadata({"dymo_med": about}), temporary)


def _index_schema() -> pa.Schema:
    types = {str: pa.string(), int: pa.int64()}
    return pa.schema([(name, types[kind]) for name, kind in _Entry.__annotations__.items()])


def _read_index(folder: Path) -> pa.Table:
    path = folder / _INDEX
    if not path.is_file():
        raise FileNotFoundError(f"no images at {folder}: prepare the cohort first")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as err:
        raise ValueError(f"{path.name} is damaged ({type(err).__name__}): prepare the cohort again") from err
    about = json.loads((table.schema.metadata or {}).get(b"dymo_med", b"{}"))
    if about.get("version") != _VERSION:
        found = about.get("version")
        raise ValueError(f"{path.name} must be of version {_VERSION}, however: {found!r}: prepare the cohort again")
    return table


def _entries_of(table: pa.Table) -> list[_Entry]:
    return [_Entry(**row) for row in table.to_pylist()]


def _remove_unused(folder: Path, used: set[int]) -> None:
    for path in folder.glob("frames-*.npy"):
        if path not in {_shard_path(folder, shard) for shard in used}:
            path.unlink()
