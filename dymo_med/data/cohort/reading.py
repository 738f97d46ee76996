"""A prepared cohort as datalists for MONAI."""

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from dymo_med.data.cohort import layout
from dymo_med.data.frames import FrameStore
from dymo_med.tabular import EncodedTable, TabularSchema, encode_table
from dymo_med.utils import read_json, sha256_of

__all__ = ["Cohort"]

_ENTRIES = {"data_kind": str, "digests": dict, "image": dict, "n_out_of_range": dict, "source": dict}
"""What readers take from ``cohort.json``."""


class Cohort:
    """The subjects of a folder that :func:`dymo_med.data.cohort.write_cohort` wrote.

    Tables are encoded once, when the cohort is opened; images are read when asked for, and only then.

    Args:
        folder: Folder of the cohort.

    Raises:
        FileNotFoundError: the folder holds no complete cohort.
        ValueError: it is of another format version, or a file is not the one that was written.

    Example:
        >>> try:
        ...     Cohort("no_such_folder")
        ... except FileNotFoundError as err:
        ...     print(err)
        no complete cohort at no_such_folder (no cohort.json): run 'dymo-med prepare' to its end
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._about = _read_about(self.folder)
        self.schema = TabularSchema.from_json(self.folder / layout.SCHEMA_FILE)
        self._frames = FrameStore(self.folder / layout.FRAMES_FOLDER)
        self._check_digests()
        self.subjects = pd.read_parquet(self.folder / layout.SUBJECTS_FILE).set_index("subject_id")
        self._table: EncodedTable = encode_table(self.subjects[self.schema.names], self.schema)

    def __len__(self) -> int:
        return len(self.subjects)

    @property
    def data_kind(self) -> str:
        """What the data are: "simulated", or the name of the source."""
        return str(self._about["data_kind"])

    @property
    def digest(self) -> str:
        """SHA-256 over schema, subjects, labels and pixels as hexadecimal text: names the data of a result."""
        text = json.dumps([self._about["digests"], self._about["image"]], sort_keys=True)
        return hashlib.sha256(text.encode("utf-8")).hexdigest()

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape (C, X, Y) of every image."""
        return self._frames.shape

    @property
    def splits(self) -> list[str]:
        """Names of the splits."""
        return sorted(self.subjects["split"].unique())

    @property
    def tasks(self) -> list[str]:
        """Names of the labels."""
        titles = [str(title) for title in self.subjects.columns if str(title).startswith(layout.LABEL_PREFIX)]
        return [title.removeprefix(layout.LABEL_PREFIX) for title in titles]

    @property
    def set_aside(self) -> pd.DataFrame:
        """Subjects left out: ``subject_id``, ``stage``, ``reason``."""
        quality = self.quality
        return quality.loc[~quality["included"], ["subject_id", "stage", "reason"]].reset_index(drop=True)

    @property
    def quality(self) -> pd.DataFrame:
        """Everyone, in or out, and why; what reading told about the images."""
        try:
            return pd.read_parquet(self.folder / layout.QUALITY_FILE)
        except (pa.ArrowException, OSError) as err:
            raise ValueError(
                f"{layout.QUALITY_FILE} of {self.folder.name} must be a sound Parquet file, however: "
                f"{type(err).__name__}: prepare the cohort again"
            ) from err

    @property
    def source(self) -> dict[str, Any]:
        """How the subjects were chosen and labeled, as counts; empty if the writer told nothing."""
        return dict(self._about["source"])

    def items(self, split: str | None = None, task: str | None = None) -> list[dict[str, Any]]:
        """Give the subjects as a MONAI datalist.

        Args:
            split: Name of a split; None for all subjects.
            task: Name of a label; subjects without it are left out. None: items have no label.

        Returns:
            Per subject ``subject_id``; ``image`` (key for :meth:`read_image`, or None); ``table`` ((F,) float32, or
            None) and ``table_missing`` ((F,) bool, or None); ``label`` (int) if a task is given.

        Raises:
            ValueError: there is no such split or task, nobody in it, or one class only in the training or
                validation split.
        """
        chosen = self._rows_of(split) & self._rows_with(task)
        if not chosen.any():
            raise ValueError(
                f"no subject of split {split!r} has a label of task {task!r}: choose another split or task"
            )
        items = [self._item(int(row)) for row in np.flatnonzero(chosen)]
        if task is not None:
            labels = self.subjects[layout.LABEL_PREFIX + task].to_numpy()[chosen]
            _check_classes(labels, split, task)
            for item, label in zip(items, labels, strict=True):
                item["label"] = int(label)
        return items

    def read_image(self, key: str) -> npt.NDArray[np.float32]:
        """Give the image (C, X, Y) float32 that ``item["image"]`` names.

        Raises:
            KeyError: this subject has no image.
            OSError: a file of the cohort is gone or damaged.
        """
        return self._frames.read(key)

    def _item(self, row: int) -> dict[str, Any]:
        subject = self._table.subject_ids[row]
        has_table = not self._table.missing[row].all()
        return {
            "subject_id": subject,
            "image": subject if subject in self._frames else None,
            "table": self._table.values[row] if has_table else None,
            "table_missing": self._table.missing[row] if has_table else None,
        }

    def _rows_of(self, split: str | None) -> npt.NDArray[np.bool_]:
        if split is None:
            return np.ones(len(self), dtype=bool)
        if split not in self.splits:
            raise ValueError(
                f"split must be one of {self.splits} or None, however: {split=}: prepare the cohort with fractions for "
                "it"
            )
        return (self.subjects["split"] == split).to_numpy(dtype=bool)

    def _rows_with(self, task: str | None) -> npt.NDArray[np.bool_]:
        if task is None:
            return np.ones(len(self), dtype=bool)
        if task not in self.tasks:
            raise ValueError(
                f"task must be one of {self.tasks} or None, however: {task=}: prepare the cohort with --labels {task}"
            )
        return self.subjects[layout.LABEL_PREFIX + task].notna().to_numpy(dtype=bool)

    def _check_digests(self) -> None:
        found = {
            "schema": self.schema.digest,
            "subjects": sha256_of(self.folder / layout.SUBJECTS_FILE),
            "frames": self._frames.digest,
        }
        changed = [name for name, digest in found.items() if digest != self._about["digests"][name]]
        if changed:
            raise ValueError(
                f"a cohort must stay as it was written, however: changed are {changed} of {self.folder.name}: "
                "prepare it again"
            )


def _read_about(folder: Path) -> dict[str, Any]:
    path = folder / layout.COHORT_FILE
    if not path.is_file():
        raise FileNotFoundError(f"no complete cohort at {folder} (no {path.name}): run 'dymo-med prepare' to its end")
    about = read_json(path)
    found = (about.get("format"), about.get("version")) if isinstance(about, dict) else type(about).__name__
    if found != (layout.FORMAT, layout.VERSION):
        raise ValueError(
            f"{path.name} must be of format {(layout.FORMAT, layout.VERSION)}, however: {found}: prepare it again"
        )
    faulty = [name for name, kind in _ENTRIES.items() if not isinstance(about.get(name), kind)]
    if faulty or not {"schema", "subjects", "frames"} <= set(about["digests"]):
        raise ValueError(
            f"{path.name} must hold {', '.join(_ENTRIES)} as they were written, however: {faulty or 'digests'} differ: "
            "prepare it again"
        )
    return dict(about)


def _check_classes(labels: npt.NDArray[Any], split: str | None, task: str) -> None:
    if len(set(labels)) > 1:
        return
    problem = f"{len(labels)} subjects of split {split!r} have class {int(labels[0])} of task {task!r} only"
    if split == layout.TRAIN_SPLIT:
        raise ValueError(f"training needs two classes or more, however: {problem}: prepare a larger cohort")
    if split == layout.VALIDATION_SPLIT:
        raise ValueError(
            f"the choice of the best epoch needs two classes or more, however: {problem}, AUROC is undefined: prepare "
            "a larger cohort or other splits"
        )
    warnings.warn(f"{problem}: AUROC is undefined there", stacklevel=3)
