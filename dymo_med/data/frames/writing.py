"""Writing of model images: idempotent, in parallel, in as many shards as wanted."""

from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from dymo_med.data.frames.parts import Entry, Part, Pixels, StoredPart, open_pixels, read_part, write_part
from dymo_med.data.frames.sharing import Shard, by_part
from dymo_med.data.frames.sources import Outcome, ReadImage, SourceKeys, find_absent, read_source, source_keys
from dymo_med.data.frames.store import FrameStore
from dymo_med.data.parallel import map_in_order

__all__ = ["write_frames", "write_shard"]


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
    images whose files hold something else or whose ``settings`` changed are read, and those that failed unexpectedly or
    whose files were touched since they failed; of subjects no longer given, nothing stays. A run that was cut off keeps
    its finished parts.

    Args:
        folder: Folder of the store; other files in it are removed.
        images: Subject to source: a path, or a dataclass of paths.
        read: Picklable function from source to image and details.
        shape: Shape (C, X, Y) that every image must have.
        settings: What else decides about the pixels, as JSON can hold it: size, spacing, version.
        n_workers: Number of processes.
        progress: Called with (done, total) after every image.

    Raises:
        OSError: the disk is full or a worker process died; finished parts are kept.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> folder = Path(tempfile.mkdtemp())
        >>> np.save(folder / "scan.npy", np.full((1, 2, 2), 0.5))
        >>> read = lambda path: (np.load(path), {"slice_index": 3})
        >>> store = write_frames(folder / "frames", {"S1": folder / "scan.npy"}, read, shape=(1, 2, 2), settings={})
        >>> store.read("S1").sum(), int(store.details.loc["S1", "slice_index"])
        (np.float32(2.0), 3)
    """
    folder = Path(folder)
    whole = Shard(1, 1)
    write_shard(folder, images, read, whole, shape=shape, settings=settings, n_workers=n_workers, progress=progress)
    _remove_others(folder, whole.parts(len(images)))
    return FrameStore(folder)


def write_shard(
    folder: str | Path,
    images: Mapping[str, Any],
    read: ReadImage,
    shard: Shard,
    *,
    shape: tuple[int, ...],
    settings: Mapping[str, Any],
    n_workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Do the share of one process or machine of :func:`write_frames`, which then finds nothing left to read.

    Shards of one store may run at the same time. The files are the same however many shards there are.

    Args:
        folder: Folder of the store.
        images: All images, those of the other shards included.
        read: Picklable function from source to image and details.
        shard: Which share.
        shape: Shape (C, X, Y) that every image must have.
        settings: What else decides about the pixels.
        n_workers: Number of processes.
        progress: Called with (done, total) after every image.

    Returns:
        Number of images in this shard, those that could not be read included.

    Raises:
        OSError: the disk is full or a worker process died; finished parts are kept.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    parts = shard.parts(len(images))
    chosen = by_part(images, parts)
    all_settings = {"shape": list(shape), **settings}
    plans = [_plan(folder, part, chosen[part.number], all_settings) for part in parts]
    total, done = sum(len(plan.todo) for plan in plans), 0
    sources = [images[subject] for plan in plans for subject in plan.todo]
    with closing(
        map_in_order(partial(read_source, read, shape, all_settings), sources, n_workers=n_workers)
    ) as results:
        for plan in plans:
            outcomes: dict[str, Outcome] = {}
            for subject in plan.todo:
                outcomes[subject] = next(results)
                done += 1
                if progress is not None:
                    progress(done, total)
            _finish(folder, plan, outcomes, shape)
    return sum(map(len, chosen.values()))


class _Plan(NamedTuple):
    """What is to be done for one part; ``kept`` holds entries that stand, with the file their pixels are in."""

    part: Part
    stored: StoredPart | None
    kept: dict[str, tuple[Entry, str]]
    todo: list[str]


def _plan(folder: Path, part: Part, images: Mapping[str, Any], settings: Mapping[str, Any]) -> _Plan:
    absent = find_absent(images)
    there = images.keys() - {entry.subject_id for entry in absent}
    keys: dict[str, SourceKeys | None] = {}
    stored = _stored(folder / part.index_name)
    earlier = [stored] if stored else _of_other_layouts(folder, part)
    whole: dict[str, bool] = {}
    kept = {entry.subject_id: (entry, "") for entry in absent}
    for one in earlier:
        if one.pixel_name and one.pixel_name not in whole:
            whole[one.pixel_name] = _is_whole(folder, one)
        for entry in one.entries:
            subject = entry.subject_id
            if subject in there and (whole[one.pixel_name] if entry.row >= 0 else entry.error == "SubjectError"):
                if subject not in keys:
                    keys[subject] = source_keys(images[subject], settings)
                if _is_of(entry, keys[subject]):
                    kept[subject] = (entry, one.pixel_name)
    return _Plan(part, stored, kept, sorted(there - kept.keys()))


def _is_of(entry: Entry, keys: SourceKeys | None) -> bool:
    """Whether what is stored was made of this source."""
    return keys is not None and entry.key == (keys.image if entry.row >= 0 else keys.failure)


def _finish(folder: Path, plan: _Plan, outcomes: Mapping[str, Outcome], shape: tuple[int, ...]) -> None:
    """Write a part unless it stands as it should be."""
    entries: list[Entry] = []
    n_rows = 0
    for subject in sorted({*plan.kept, *outcomes}):
        if subject in outcomes:
            outcome = outcomes[subject]
            entry = Entry(subject, outcome.key, 0 if outcome.pixels is not None else -1, *outcome[2:])
        else:
            entry = plan.kept[subject][0]
        if entry.row >= 0:
            entry = entry._replace(row=n_rows)
            n_rows += 1
        entries.append(entry)
    if not outcomes and plan.stored and (plan.stored.shape, plan.stored.entries) == (shape, entries):
        return
    opened = {name: open_pixels(folder, name) for entry, name in plan.kept.values() if entry.row >= 0}
    pixels: list[Pixels] = []
    for entry in entries:
        if entry.row >= 0 and entry.subject_id in plan.kept:
            before, name = plan.kept[entry.subject_id]
            pixels.append(opened[name][before.row])
        elif entry.row >= 0 and (new := outcomes[entry.subject_id].pixels) is not None:
            pixels.append(new)
    write_part(folder, plan.part, entries, pixels, shape)


def _stored(path: Path) -> StoredPart | None:
    try:
        return read_part(path) if path.is_file() else None
    except ValueError:
        return None  # damaged, or of another version: made anew


def _of_other_layouts(folder: Path, part: Part) -> list[StoredPart]:
    """Give parts from when the store held many more or fewer images; they share subjects if they agree modulo both."""
    found = []
    for path in sorted(folder.glob("part-*.parquet")):
        other = Part.of_index(path)
        if other and other.count != part.count and (other.number - part.number) % min(other.count, part.count) == 0:
            found.append(_stored(path))
    return [stored for stored in found if stored]


def _is_whole(folder: Path, part: StoredPart) -> bool:
    try:
        return len(open_pixels(folder, part.pixel_name)) == sum(entry.row >= 0 for entry in part.entries)
    except OSError:
        return False


def _remove_others(folder: Path, parts: list[Part]) -> None:
    """Remove what killed runs left, earlier layouts, and with them the pixels of subjects who have left."""
    own = {part.index_name for part in parts}
    own |= {read_part(folder / name).pixel_name for name in own}
    for path in folder.iterdir():
        if path.is_file() and path.name not in own:
            path.unlink()
