"""From raw tables and image files to the folder of a cohort."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from dymo_med import __version__
from dymo_med.data.cohort import layout
from dymo_med.data.cohort.draft import Draft, draft_cohort
from dymo_med.data.cohort.images import read_model_image
from dymo_med.data.cohort.lock import writing_to
from dymo_med.data.cohort.outputs import split_digest, write_outputs
from dymo_med.data.cohort.reading import Cohort
from dymo_med.data.frames import FrameStore, ReadImage, Shard, write_frames, write_shard
from dymo_med.tabular import Column, TabularSchema
from dymo_med.utils import check_positive, check_positive_int, sha256_of, write_json

__all__ = ["write_cohort", "write_cohort_shard"]

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
    image_spacing_mm: float | None = 1.8,
    match_patient: bool = True,
    n_workers: int = 1,
    data_kind: str,
    record: Mapping[str, Any] | None = None,
    divide: Callable[[list[str]], pd.Series] | None = None,
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
        images: Subject to image source: a path, or a pair of NIfTI paths. All of them are read, those of subjects whom
            the table sets aside too, so that shards need no table.
        labels: Index ``subject_id``, one column per task with whole numbers from 0; missing where unknown.
        splits: Subject to split. None: all are "new", which needs a ``schema``.
        set_aside: Subjects that earlier stages set aside: ``subject_id``, ``stage``, ``reason``; they stay out.
        schema: Schema of a trained network, to be applied as it is; None to fit one.
        image_size: Rows and columns of the model image.
        image_spacing_mm: Pixel size of the model image; None for images made as published.
        match_patient: Refuse a zip named after one participant with the Patient ID of another.
        n_workers: Processes that read images.
        data_kind: What the data are: "simulated", or the name of the source.
        record: How the subjects were chosen and labeled, counts only, as JSON can hold it; kept under "source" in
            ``cohort.json``.
        divide: Instead of ``splits``, divides the subjects who are left once all images are read; the schema then
            learns from everybody there was before, which leaks. For comparison with published results alone.
        read: Function from source to image (3, S, S) and quality details; default: the reader of cine MRI.
        progress: Called with (done, total) after every image read.

    Raises:
        ValueError: columns or splits do not fit, or no subject is left.
        OSError: the disk is full, a worker process died, or another command writes this cohort; finished images are
            kept.

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
    if not data_kind.strip():
        raise ValueError(f"data_kind must be 'simulated' or name the source, however: data_kind={data_kind!r}")
    columns = columns if schema is None else schema.columns
    draft = draft_cohort(
        features=features, columns=columns, images=images, labels=labels, splits=splits, set_aside=set_aside
    )
    if schema is None:
        # A table that cannot be learned from must show before hours of reading images.
        early = draft.fit(columns, on_all=divide is not None)
    folder, options = Path(folder), _frame_options(image_size, image_spacing_mm, match_patient, read)
    sources = {str(subject): source for subject, source in images.items()}
    with writing_to(folder):
        earlier = _take_record(folder)
        store = write_frames(folder / layout.FRAMES_FOLDER, sources, n_workers=n_workers, progress=progress, **options)
        for subject, problem in store.problems.items():
            draft.aside.setdefault(subject, ("image", problem))
        draft.check_not_empty()
        if divide is not None:
            draft.divide(divide)
        if schema is None:
            schema = early if divide else draft.fit(columns)
        write_outputs(folder, draft, schema, store)
        about = {
            **_summary(draft, store),
            "data_kind": data_kind,
            "image": {"shape": list(store.shape), "spacing_mm": image_spacing_mm},
            "digests": {
                "schema": schema.digest,
                "subjects": sha256_of(folder / layout.SUBJECTS_FILE),
                "frames": store.digest,
                "split": split_digest(draft.splits.reindex(draft.subject_ids)),
            },
            "source": dict(record or {}),
        }
        _put_record(folder, {"format": layout.FORMAT, "version": layout.VERSION, **about}, earlier)
    return Cohort(folder)


def write_cohort_shard(
    folder: str | Path,
    shard: Shard,
    *,
    images: Mapping[str, Any],
    image_size: int = 128,
    image_spacing_mm: float | None = 1.8,
    match_patient: bool = True,
    n_workers: int = 1,
    read: ReadImage | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Read the images of one shard into the folder of a cohort; :func:`write_cohort` reads what no shard has read.

    Shards may run at the same time, in any number and order, and be cut off and started again: the cohort is the same.

    Args:
        folder: Folder of the cohort.
        shard: Which share of the images.
        images: All images, those of the other shards included.
        image_size: Rows and columns of the model image.
        image_spacing_mm: Pixel size of the model image; None for images made as published.
        match_patient: Refuse a zip named after one participant with the Patient ID of another.
        n_workers: Processes that read images.
        read: Function from source to image and quality details; default: the reader of cine MRI.
        progress: Called with (done, total) after every image read.

    Returns:
        Number of images in this shard.

    Raises:
        ValueError: image size or spacing is not positive.
        OSError: the disk is full or a worker process died; finished parts are kept.
    """
    with writing_to(Path(folder), is_shard=True):
        return write_shard(
            Path(folder) / layout.FRAMES_FOLDER,
            images,
            shard=shard,
            n_workers=n_workers,
            progress=progress,
            **_frame_options(image_size, image_spacing_mm, match_patient, read),
        )


def _frame_options(size: int, spacing_mm: float | None, match_patient: bool, read: ReadImage | None) -> dict[str, Any]:
    check_positive_int("image_size", size)
    if spacing_mm is not None:
        check_positive("image_spacing_mm", spacing_mm)
    return {
        "read": read or partial(read_model_image, size=size, spacing_mm=spacing_mm, match_patient=match_patient),
        "shape": (_N_CHANNELS, size, size),
        "settings": {"spacing_mm": spacing_mm, "match_patient": match_patient, "version": __version__},
    }


def _take_record(folder: Path) -> tuple[str, int] | None:
    """Remove ``cohort.json`` while the folder is being written; give its text and time."""
    path = folder / layout.COHORT_FILE
    if not path.is_file():
        return None
    earlier = path.read_text(encoding="utf-8"), path.stat().st_mtime_ns
    path.unlink()
    return earlier


def _put_record(folder: Path, about: Mapping[str, Any], earlier: tuple[str, int] | None) -> None:
    """Write ``cohort.json``; if nothing has changed, with the old time, so that nothing is trained again for it."""
    path = folder / layout.COHORT_FILE
    write_json(path, about)
    if earlier and path.read_text(encoding="utf-8") == earlier[0]:
        os.utime(path, ns=(earlier[1], earlier[1]))


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
