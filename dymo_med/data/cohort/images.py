"""From a cine file to the model image of a cohort."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dymo_med.data.cine import (
    EDESPair,
    published_frames,
    read_cine,
    select_frames,
    to_model_image,
    to_published_image,
)
from dymo_med.utils import SubjectError

__all__ = ["image_source", "read_model_image"]


def read_model_image(
    source: Any, *, size: int, spacing_mm: float | None, match_patient: bool = True
) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
    """Read a short-axis cine and give the frames that a network sees, with what was found on the way.

    Args:
        source: Zip of DICOM files, 4D NIfTI file, or a pair of NIfTI files at end-diastole and end-systole.
        size: Rows and columns of the model image.
        spacing_mm: Pixel size of the model image; None to choose and scale the frames as published, pixels as scanned.
        match_patient: Refuse a zip named after one participant with the Patient ID of another.

    Returns:
        Image (3, size, size) in [0, 1], and its row of the quality table.

    Raises:
        SubjectError: the source cannot be used.

    Example:
        >>> from pathlib import Path
        >>> try:
        ...     read_model_image(Path("scan.png"), size=128, spacing_mm=1.8)
        ... except ValueError as err:
        ...     print(err)
        ending '.png' in the cine file: pass a .zip of DICOM files, a .nii or .nii.gz file
    """
    stack = read_cine(source, match_patient=match_patient)
    if spacing_mm is None:
        frames = published_frames(stack)
        image = to_published_image(frames, size=size)
    else:
        frames = select_frames(stack)
        image = to_model_image(frames, size=size, spacing_mm=spacing_mm)
    phases = {f"phase_{name}": index for name, index in frames.phase_indices.items()}
    return image, {
        "slice_index": int(frames.slice_index),
        **phases,
        "method": frames.method,
        "confidence": round(float(frames.confidence), 4),
        "findings": "; ".join(frames.findings),
    }


def image_source(text: str, folder: str | Path) -> Path | EDESPair:
    """Read how a table names an image: one file, or end-diastole and end-systole with a semicolon between them.

    Args:
        text: Cell of the table.
        folder: Where relative paths start.

    Raises:
        SubjectError: the cell names more than two files.

    Example:
        >>> image_source("scan.zip", "images").as_posix()
        'images/scan.zip'
    """
    paths = [Path(folder) / part.strip() for part in text.split(";")]
    if len(paths) == 1:
        return paths[0]
    if len(paths) == 2:
        return EDESPair(ed=paths[0], es=paths[1])
    remedy = "write one file, or 'ed.nii.gz;es.nii.gz'"
    raise SubjectError(f"{len(paths)} file names", where="column 'image'", remedy=remedy)
