"""What may be told of a cohort where its subjects may not: counts and digests."""

import hashlib
from typing import Any

import pandas as pd

from dymo_med.data.cohort import layout
from dymo_med.data.cohort.reading import Cohort
from dymo_med.utils import read_json

__all__ = ["dataset_facts", "image_settings"]

_DIGEST_LENGTH = 32
"""Hexadecimal digits of a digest; MLflow holds 36 characters."""


def dataset_facts(cohort: Cohort, task: str | None = None, **splits: str | None) -> list[dict[str, Any]]:
    """Give counts and digests of splits, for :class:`dymo_med.handlers.MLflowRun`.

    Args:
        cohort: Prepared cohort.
        task: Label that is learned; subjects without it are not counted. None for none.
        splits: Split by context, such as ``train="train"``; None for all subjects.

    Returns:
        For each split ``name``, ``context``, ``digest`` of who is in it with which label, ``cohort_digest``, and
        ``counts``: subjects, without image, without table, and by label.

    Raises:
        ValueError: there is no such split or task, or nobody in it.

    Example:
        >>> import tempfile
        >>> from dymo_med.data.cohort import write_cohort
        >>> from dymo_med.tabular import Column
        >>> rows = pd.DataFrame({"age_years": [50, 60, 70]}, index=["S1", "S2", "S3"])
        >>> cohort = write_cohort(
        ...     tempfile.mkdtemp(),
        ...     features=rows,
        ...     columns=[Column(name="age_years", kind="continuous")],
        ...     images={},
        ...     splits=pd.Series("train", index=rows.index),
        ...     data_kind="simulated",
        ... )
        >>> dataset_facts(cohort, train="train")[0]["counts"]
        {'subjects': 3, 'without image': 3, 'without table': 0}
    """
    return [_facts(cohort, task, context, split) for context, split in splits.items()]


def image_settings(cohort: Cohort) -> tuple[int, float | None]:
    """Give rows and columns of the images of a cohort, and their pixel size in mm; None for images as published."""
    spacing_mm = read_json(cohort.folder / layout.COHORT_FILE)["image"]["spacing_mm"]
    return int(cohort.image_shape[-1]), None if spacing_mm is None else float(spacing_mm)


def _facts(cohort: Cohort, task: str | None, context: str, split: str | None) -> dict[str, Any]:
    items = cohort.items(split, task)
    counts = {
        "subjects": len(items),
        "without image": sum(item["image"] is None for item in items),
        "without table": sum(item["table"] is None for item in items),
    }
    subjects = pd.Index([item["subject_id"] for item in items])
    content = [cohort.digest, *sorted(subjects)]
    if task is not None:
        labels = cohort.subjects.loc[subjects, layout.LABEL_PREFIX + task].astype("int")
        counts |= {f"{task} = {label}": int(count) for label, count in labels.value_counts().sort_index().items()}
        content.append(task)
    return {
        "name": f"{cohort.data_kind} cohort, {split or 'everybody'}",
        "context": context,
        "digest": hashlib.sha256("\n".join(content).encode("utf-8")).hexdigest()[:_DIGEST_LENGTH],
        "cohort_digest": cohort.digest,
        "counts": counts,
    }
