"""Stored model images, read by subject."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dymo_med.data.frames.parts import Part, Pixels, open_pixels, read_part

__all__ = ["FrameStore"]


class FrameStore:
    """Model images of a cohort, memory-mapped float16.

    Args:
        folder: Folder that :func:`write_frames` wrote.

    Raises:
        FileNotFoundError: the folder holds no index.
        ValueError: an index is damaged, of another format version, or parts are missing.

    Example:
        >>> import tempfile
        >>> from dymo_med.data.frames import write_frames
        >>> folder = tempfile.mkdtemp()
        >>> _ = write_frames(folder, {}, read=lambda source: (source, {}), shape=(3, 4, 4), settings={})
        >>> store = FrameStore(folder)
        >>> len(store), store.shape
        (0, (3, 4, 4))
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        parts = [read_part(self.folder / part.index_name) for part in _parts_on_disk(self.folder)]
        self.shape: tuple[int, ...] = parts[0].shape
        self._entries = {entry.subject_id: entry for part in parts for entry in part.entries}
        self._names = {entry.subject_id: part.pixel_name for part in parts for entry in part.entries if entry.row >= 0}
        self._open: dict[str, Pixels] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files behind when the store goes to another process."""
        return {**self.__dict__, "_open": {}}

    def __contains__(self, subject_id: object) -> bool:
        return subject_id in self._names

    def __len__(self) -> int:
        return len(self._names)

    @property
    def problems(self) -> dict[str, str]:
        """Subject to the reason why its image could not be read."""
        return {entry.subject_id: entry.problem for entry in self._entries.values() if entry.row < 0}

    @property
    def details(self) -> pd.DataFrame:
        """What reading told about each image, index ``subject_id``."""
        stored = {subject: json.loads(self._entries[subject].details) for subject in sorted(self._names)}
        return pd.DataFrame.from_dict(stored, orient="index").convert_dtypes().rename_axis("subject_id")

    @property
    def digest(self) -> str:
        """SHA-256 over subjects and pixels as hexadecimal text, whatever the files they lie in."""
        lines = sorted(f"{subject} {self._entries[subject].sha256}" for subject in self._names)
        return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()

    def place(self, subject_id: str) -> tuple[str, int]:
        """Give the file of a subject's image and the position in it."""
        return self._names[subject_id], self._entries[subject_id].row

    def read(self, subject_id: str) -> npt.NDArray[np.float32]:
        """Give the image of a subject, (C, X, Y) float32.

        Raises:
            KeyError: this subject has no image.
            OSError: a file is gone or damaged.
        """
        if subject_id not in self:
            raise KeyError(f"no image of subject {subject_id!r} among the {len(self)} of the store")
        name, row = self.place(subject_id)
        if name not in self._open:
            self._open[name] = open_pixels(self.folder, name)
        image: npt.NDArray[np.float32] = self._open[name][row].astype(np.float32)
        return image


def _parts_on_disk(folder: Path) -> list[Part]:
    parts = sorted(filter(None, map(Part.of_index, folder.glob("part-*.parquet"))), key=lambda part: part.number)
    if not parts:
        raise FileNotFoundError(f"no images at {folder}: prepare the cohort first")
    if parts != [Part(number, len(parts)) for number in range(1, len(parts) + 1)]:
        raise ValueError(
            f"the images of a cohort must be complete, however: {len(parts)} indexes of layouts with "
            f"{sorted({part.count for part in parts})} parts in {folder.name}: run 'dymo-med prepare' to its end"
        )
    return parts
