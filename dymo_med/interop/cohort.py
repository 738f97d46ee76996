"""A prepared cohort in the columns of a published model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dymo_med.data.cohort import Cohort, layout, write_cohort
from dymo_med.interop.schema import complete_columns
from dymo_med.tabular import TabularSchema
from dymo_med.utils import read_json

__all__ = ["with_schema"]


@dataclass
class _Store:
    index: Path


class _StoredImage(_Store):
    """The image of one subject in the files of a cohort."""

    def __init__(self, index: Path, subject: str) -> None:
        super().__init__(index)
        self.subject = subject


def with_schema(
    cohort: Cohort, schema: TabularSchema, folder: str | Path, *, absent_as_missing: bool = False
) -> Cohort:
    """Write a cohort again for a network that reads other columns; subjects, splits, labels and images stay.

    Args:
        cohort: A prepared cohort.
        schema: Schema of the network, for instance that of the published table.
        folder: Folder to write.
        absent_as_missing: Let columns that the cohort lacks be missing for everybody, instead of refusing.

    Raises:
        ValueError: the folder is that of the cohort, or the cohort lacks a column.
        OSError: the disk is full.
    """
    if Path(folder).resolve() == cohort.folder.resolve():
        raise ValueError(f"a cohort must not be written over itself, however: {cohort.folder}: choose another folder")
    subjects = cohort.subjects
    images = [str(item["subject_id"]) for item in cohort.items() if item["image"] is not None]
    labels = subjects[[title for title in subjects.columns if str(title).startswith(layout.LABEL_PREFIX)]]

    about = cohort.folder / layout.COHORT_FILE

    def read(stored: Any) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Give the image that the cohort holds already."""
        return cohort.read_image(stored.subject), {}

    return write_cohort(
        folder,
        features=complete_columns(subjects, schema.columns, absent_as_missing=absent_as_missing),
        columns=schema.columns,
        images={subject: _StoredImage(about, subject) for subject in images},
        labels=labels.rename(columns=lambda title: str(title).removeprefix(layout.LABEL_PREFIX)),
        splits=subjects["split"],
        set_aside=cohort.set_aside,
        schema=schema,
        image_size=cohort.image_shape[-1],
        image_spacing_mm=read_json(about)["image"]["spacing_mm"],
        data_kind=cohort.data_kind,
        record=cohort.source,
        read=read,
    )
