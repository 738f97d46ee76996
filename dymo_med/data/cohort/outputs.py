"""The tables of a cohort folder: subjects, quality control, datalist."""

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd

from dymo_med.data.cohort import layout
from dymo_med.data.cohort.draft import Draft
from dymo_med.data.frames import FrameStore
from dymo_med.tabular import TabularSchema
from dymo_med.utils import atomic_path, write_json

__all__ = ["split_digest", "write_outputs"]

_LIST_KEYS = {"train": "training", "val": "validation"}
"""Names under which MONAI's readers of datalists look for a split; others keep theirs."""


def write_outputs(folder: Path, draft: Draft, schema: TabularSchema, store: FrameStore) -> None:
    """Write ``schema.json``, ``cohort.parquet``, ``qc.parquet`` and ``datalist.json``, each whole or not at all."""
    subjects = _subjects(draft, schema)
    schema.to_json(folder / layout.SCHEMA_FILE)
    with atomic_path(folder / layout.SUBJECTS_FILE) as temporary:
        subjects.reset_index().to_parquet(temporary, index=False)
    with atomic_path(folder / layout.QUALITY_FILE) as temporary:
        _quality(draft, store).reset_index().to_parquet(temporary, index=False)
    write_json(folder / layout.DATALIST_FILE, _datalist(subjects, store))


def split_digest(splits: pd.Series) -> str:
    """Give the SHA-256 over subjects and their splits as hexadecimal text, whatever the order of rows.

    Example:
        >>> splits = pd.Series({"S1": "train", "S2": "test"})
        >>> split_digest(splits) == split_digest(splits[::-1]), split_digest(splits)[:8]
        (True, '63f306a0')
    """
    lines = sorted(f"{subject} {split}" for subject, split in splits.items())
    return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()


def _subjects(draft: Draft, schema: TabularSchema) -> pd.DataFrame:
    ids = pd.Index(draft.subject_ids, name="subject_id")
    labels = draft.labels.reindex(ids).add_prefix(layout.LABEL_PREFIX)
    return pd.concat(
        [draft.splits.reindex(ids).rename("split"), labels, draft.clean.frame.reindex(ids)[schema.names]], axis=1
    )


def _quality(draft: Draft, store: FrameStore) -> pd.DataFrame:
    """Give one row per subject, in or out: why somebody is out, and what reading told about the image."""
    included, observed = set(draft.subject_ids), draft.observed
    everybody = pd.Index(sorted(included | set(draft.aside)), name="subject_id", dtype="str")
    reasons = [draft.aside.get(subject, (None, None)) for subject in everybody]
    quality = pd.DataFrame(reasons, columns=["stage", "reason"], index=everybody, dtype="str")
    quality.insert(0, "included", [subject in included for subject in everybody])
    quality.insert(1, "has_image", [subject in included and subject in store for subject in everybody])
    quality.insert(2, "has_table", [subject in included and subject in observed for subject in everybody])
    return quality.join(store.details.reindex(everybody))


def _datalist(subjects: pd.DataFrame, store: FrameStore) -> dict[str, list[dict[str, Any]]]:
    """List the subjects per split; ``image`` is relative to the folder, ``image_row`` the position in that file."""
    labels = [str(title) for title in subjects.columns if str(title).startswith(layout.LABEL_PREFIX)]
    lists: dict[str, list[dict[str, Any]]] = {}
    for subject, row in zip(subjects.index, subjects[["split", *labels]].to_dict("records"), strict=True):
        item: dict[str, Any] = {"subject_id": str(subject)}
        if subject in store:
            name, position = store.place(str(subject))
            item |= {"image": f"{layout.FRAMES_FOLDER}/{name}", "image_row": position}
        item |= {title: int(row[title]) for title in labels if not pd.isna(row[title])}
        lists.setdefault(_LIST_KEYS.get(row["split"], row["split"]), []).append(item)
    return dict(sorted(lists.items()))
