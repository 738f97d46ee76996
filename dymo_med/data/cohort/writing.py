"""From raw tables and image files to the folder of a cohort."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from dymo_med import __version__
from dymo_med.data.cohort import layout
from dymo_med.data.cohort.draft import Draft, draft_cohort
from dymo_med.data.cohort.images import read_model_image
from dymo_med.data.cohort.reading import Cohort
from dymo_med.data.frames import FrameStore, ReadImage, write_frames
from dymo_med.tabular import Column, TabularSchema
from dymo_med.utils import atomic_path, check_positive, check_positive_int, sha256_of, write_json

__all__ = ["write_cohort"]

_N_CHANNELS = 3


def write_cohort(
    folder: str | Path,
    *,
    features: pd.DataFrame,
    columns: Sequence[Column],
    images: Mapping[str, Any],
    labels: pd.DataFrame | None = None,
    splits: pd.Series | None = None,
    set_aside: pd.DataFrame | None = None,
    schema: TabularSchema | None = None,
    image_size: int = 128,
    image_spacing_mm: float = 1.8,
    n_workers: int = 1,
    data_kind: str,
    read: ReadImage | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Cohort:
    """Write a cohort folder; run again, it costs no more than what changed.

    A subject with an image but no table row stays, and so does one with a row but no image: the modality is missing. A
    subject with neither, with two rows, with a cell or label that cannot be read, or with an image file that cannot be
    read, is set aside with a reason.

    Args:
        folder: Folder to write; ``cohort.json`` comes last and tells that it is complete.
        features: Raw values, index ``subject_id`` (pseudonyms), titles as in ``columns``.
        columns: Columns of the table; their statistics are learned from split "train". Unused if ``schema`` is given.
        images: Subject to image source: a path, or a pair of NIfTI paths.
        labels: Index ``subject_id``, one column per task with whole numbers from 0; missing where unknown.
        splits: Subject to split. None: all are "new", which needs a ``schema``.
        set_aside: Subjects that earlier stages set aside: ``subject_id``, ``stage``, ``reason``; they stay out.
        schema: Schema of a trained network, to be applied as it is; None to fit one.
        image_size: Rows and columns of the model image.
        image_spacing_mm: Pixel size of the model image.
        n_workers: Processes that read images.
        data_kind: What the data are: "simulated", or the name of the source.
        read: Function from source to image (3, S, S) and quality details; default: the reader of cine MRI.
        progress: Called with (done, total) after every image read.

    Raises:
        ValueError: columns or splits do not fit, or no subject is left.
        OSError: the disk is full or a worker process died; finished images are kept.

    Example:
        >>> import tempfile
        >>> rows = pd.DataFrame({"age_years": [50, 60, 70]}, index=["S1", "S2", "S3"])
        >>> cohort = write_cohort(
        ...     tempfile.mkdtemp(),
        ...     features=rows,
        ...     columns=[Column(name="age_years", kind="continuous")],
        ...     images={},
        ...     splits=pd.Series("train", index=rows.index),
        ...     data_kind="simulated",
        ... )
        >>> [item["table"].tolist() for item in cohort.items("train")]
        [[-1.0], [0.0], [1.0]]
    """
    check_positive_int("image_size", image_size)
    check_positive("image_spacing_mm", image_spacing_mm)
    if not data_kind.strip():
        raise ValueError(f"data_kind must be 'simulated' or name the source, however: data_kind={data_kind!r}")
    columns = columns if schema is None else schema.columns
    draft = draft_cohort(
        features=features, columns=columns, images=images, labels=labels, splits=splits, set_aside=set_aside
    )
    if schema is None:
        draft.fit(columns)  # a table that cannot be learned from must show before hours of reading images
    folder = Path(folder)
    (folder / layout.COHORT_FILE).unlink(missing_ok=True)
    store = write_frames(
        folder / layout.FRAMES_FOLDER,
        {subject: source for subject, source in draft.images.items() if subject not in draft.aside},
        read or partial(read_model_image, size=image_size, spacing_mm=image_spacing_mm),
        shape=(_N_CHANNELS, image_size, image_size),
        settings={"spacing_mm": image_spacing_mm, "version": __version__},
        n_workers=n_workers,
        progress=progress,
    )
    for subject, problem in store.problems.items():
        draft.aside[subject] = ("image", problem)
    draft.check_not_empty()
    schema = schema or draft.fit(columns)
    _write_tables(folder, draft, schema, store)
    about = {
        **_summary(draft, store),
        "data_kind": data_kind,
        "image": {"shape": list(store.shape), "spacing_mm": image_spacing_mm},
        "digests": {
            "schema": schema.digest,
            "subjects": sha256_of(folder / layout.SUBJECTS_FILE),
            "frames": store.digest,
        },
    }
    write_json(folder / layout.COHORT_FILE, {"format": layout.FORMAT, "version": layout.VERSION, **about})
    return Cohort(folder)


def _write_tables(folder: Path, draft: Draft, schema: TabularSchema, store: FrameStore) -> None:
    ids = pd.Index(draft.subject_ids, name="subject_id")
    subjects = pd.concat(
        [
            draft.splits.reindex(ids).rename("split"),
            draft.labels.reindex(ids).add_prefix(layout.LABEL_PREFIX),
            draft.clean.frame.reindex(ids)[schema.names],
        ],
        axis=1,
    )
    schema.to_json(folder / layout.SCHEMA_FILE)
    with atomic_path(folder / layout.SUBJECTS_FILE) as temporary:
        subjects.reset_index().to_parquet(temporary, index=False)
    with atomic_path(folder / layout.QUALITY_FILE) as temporary:
        store.details.to_csv(temporary)
    rows = [(subject, *reason) for subject, reason in sorted(draft.aside.items())]
    with atomic_path(folder / layout.SET_ASIDE_FILE) as temporary:
        pd.DataFrame(rows, columns=["subject_id", "stage", "reason"]).to_csv(temporary, index=False)


def _summary(draft: Draft, store: FrameStore) -> dict[str, Any]:
    ids = draft.subject_ids
    return {
        "n_subjects": len(ids),
        "n_per_split": _counts(draft.splits.reindex(ids)),
        "n_without_image": sum(subject not in store for subject in ids),
        "n_without_table": len(set(ids) - draft.observed),
        "n_per_label": {task: _counts(draft.labels[task].reindex(ids)) for task in draft.labels},
        "n_out_of_range": draft.clean.out_of_range,
        "n_set_aside": _counts(pd.Series([stage for stage, _ in draft.aside.values()], dtype="str")),
    }


def _counts(values: pd.Series) -> dict[str, int]:
    named = values.astype("str").where(values.notna(), "missing")
    return {str(name): int(count) for name, count in named.value_counts().sort_index().items()}
