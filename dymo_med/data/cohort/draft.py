"""Who belongs in a cohort, and why the others do not, before any image is read."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from dymo_med.data.cohort import layout
from dymo_med.tabular import CleanTable, Column, TabularSchema, clean_table

__all__ = ["Draft", "draft_cohort"]

_SHOWN = 40
"""Characters of a faulty label that a reason shows."""


@dataclass
class Draft:
    """Subjects on their way into a cohort.

    Args:
        clean: Table rows that can be used.
        images: Subject to image source.
        labels: Index ``subject_id``, one Int64 column per task, missing where unknown.
        splits: Subject to split.
        aside: Subject that fell out to (stage, reason).

    Example:
        >>> rows = pd.DataFrame({"age_years": [50.0, None]}, index=["S1", "S2"])
        >>> clean = clean_table(rows, [Column(name="age_years", kind="continuous")])
        >>> draft = Draft(clean, images={"S3": "scan.zip"}, labels=pd.DataFrame(), aside={"S2": ("cohort", "nothing")})
        >>> draft.subject_ids, draft.observed
        (['S1', 'S3'], {'S1'})
    """

    clean: CleanTable
    images: dict[str, Any]
    labels: pd.DataFrame
    splits: pd.Series = field(default_factory=lambda: pd.Series(dtype="str"))
    aside: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def subject_ids(self) -> list[str]:
        """Sorted subjects that are still in."""
        return sorted((set(self.clean.frame.index) | set(self.images)) - set(self.aside))

    @property
    def observed(self) -> set[str]:
        """Subjects with at least one table cell."""
        frame = self.clean.frame
        return set(frame.index[frame.notna().any(axis=1)])

    def fit(self, columns: Sequence[Column], *, on_all: bool = False) -> TabularSchema:
        """Fit a schema on the rows of the training split, or of all of them.

        Raises:
            ValueError: there is no such row, or a column cannot be learned from them.
        """
        training = {subject for subject in self.subject_ids if on_all or self.splits[subject] == layout.TRAIN_SPLIT}
        rows = self.clean.frame[self.clean.frame.index.isin(list(training))]
        if rows.empty:
            raise ValueError(
                f"a schema is fitted on table rows of split {layout.TRAIN_SPLIT!r}, however: none among splits "
                f"{self.splits.value_counts().to_dict()}: add training subjects or pass a schema"
            )
        return TabularSchema.fit(rows, columns)

    def divide(self, function: Callable[[list[str]], pd.Series]) -> None:
        """Divide the subjects who are left, whatever splits they had.

        Raises:
            ValueError: the function leaves somebody without a split.
        """
        self.splits = _checked_splits(function(self.subject_ids), self.subject_ids)

    def check_not_empty(self) -> None:
        """Refuse a cohort without subjects.

        Raises:
            ValueError: nobody is left; the text counts the stages and gives one reason.
        """
        if self.subject_ids:
            return
        stages = pd.Series([stage for stage, _ in self.aside.values()], dtype="str").value_counts().to_dict()
        _, reason = next(iter(self.aside.values()), ("", "no subject was given"))
        raise ValueError(
            f"a cohort needs subjects, however: none is left, set aside by stage {stages}; first: {reason}"
        )


def draft_cohort(
    *,
    features: pd.DataFrame,
    columns: Sequence[Column],
    images: Mapping[str, Any],
    labels: pd.DataFrame | None,
    splits: pd.Series | None,
    set_aside: pd.DataFrame | None,
) -> Draft:
    """Check tables, labels and splits, and set aside the subjects that they rule out.

    Args:
        features: Raw values, index ``subject_id``.
        columns: Columns of ``features``.
        images: Subject to image source.
        labels: Index ``subject_id``, one column per task; None for no labels.
        splits: Subject to split; None puts everybody in split "new".
        set_aside: Subjects that earlier stages set aside: ``subject_id``, ``stage``, ``reason``.

    Raises:
        ValueError: columns do not fit, rows have no subject, a subject has no split, or nobody is left.

    Example:
        >>> age = Column(name="age_years", kind="continuous")
        >>> rows = pd.DataFrame({"age_years": [50, "old"]}, index=["S1", "S2"])
        >>> given = {"images": {}, "labels": None, "splits": None, "set_aside": None}
        >>> draft_cohort(features=rows, columns=[age], **given).aside["S2"][0]
        'table'
    """
    _check_names(columns)
    features = _with_text_index("features", features)
    labels = _with_text_index("labels", pd.DataFrame(index=features.index.unique()) if labels is None else labels)
    aside: dict[str, tuple[str, str]] = {}
    if set_aside is not None:
        for subject, stage, reason in set_aside[["subject_id", "stage", "reason"]].astype("str").to_numpy():
            aside.setdefault(subject, (stage, reason))
    for name, table in (("features", features), ("labels", labels)):
        counts = table.index.value_counts()
        for subject, count in counts[counts > 1].items():
            aside.setdefault(str(subject), ("table", f"{count} rows in the table of {name}: keep one row"))
    labels = _checked_labels(_without(labels, aside), aside)
    clean = clean_table(_without(features, aside), columns)
    for subject, problem in clean.problems.items():
        aside.setdefault(subject, ("table", str(problem)))
    draft = Draft(clean, {str(subject): source for subject, source in images.items()}, labels, aside=aside)
    for subject in sorted((set(clean.frame.index) | set(labels.index)) - draft.observed - set(draft.images)):
        aside.setdefault(subject, ("cohort", "neither an image nor an observed table cell: nothing to predict from"))
    draft.check_not_empty()
    draft.splits = _checked_splits(splits, draft.subject_ids)
    return draft


def _check_names(columns: Sequence[Column]) -> None:
    names = [column.name for column in columns]
    taken = [name for name in names if name in layout.RESERVED or name.startswith(layout.LABEL_PREFIX)]
    if taken:
        raise ValueError(
            f"a feature must not be named {', '.join(layout.RESERVED)} or {layout.LABEL_PREFIX}..., however: {taken}: "
            "rename it"
        )


def _with_text_index(name: str, table: pd.DataFrame) -> pd.DataFrame:
    ids = table.index
    n_empty = int((ids.isna() | (ids.astype("str").str.strip() == "")).sum())
    if n_empty:
        raise ValueError(
            f"every row of the table of {name} must have a subject_id, however: {n_empty} of {len(table)} have none: "
            "fill in or drop these rows"
        )
    return table.set_axis(ids.astype("str"))


def _without(table: pd.DataFrame, subjects: Iterable[str]) -> pd.DataFrame:
    return table[~table.index.isin(list(subjects))]


def _checked_labels(labels: pd.DataFrame, aside: dict[str, tuple[str, str]]) -> pd.DataFrame:
    checked: dict[str, pd.Series] = {}
    for task in labels.columns:
        text = labels[task].astype("str")
        numbers = pd.to_numeric(text, errors="coerce").astype("float64")
        is_whole = (numbers >= 0) & (numbers == np.floor(numbers)) & np.isfinite(numbers)
        given = labels[task].notna() & (text != "")
        for subject, value in text[given & ~is_whole].items():
            reason = f"label {task!r} is {value[:_SHOWN]!r}: write a whole number from 0 or leave it empty"
            aside.setdefault(str(subject), ("label", reason))
        checked[str(task)] = numbers.where(given & is_whole).astype("Int64")
    return pd.DataFrame(checked, index=labels.index)


def _checked_splits(splits: pd.Series | None, subject_ids: list[str]) -> pd.Series:
    if splits is None:
        return pd.Series(layout.NEW_SPLIT, index=subject_ids, dtype="str")
    given = splits.set_axis(splits.index.astype("str"))
    given = given[~given.index.duplicated(keep=False)].reindex(subject_ids)
    n_without = int((given.isna() | (given.astype("str").str.strip() == "")).sum())
    if n_without:
        raise ValueError(
            f"every subject must have one split, however: {n_without} of {len(subject_ids)} have none or two: "
            "complete the column 'split'"
        )
    return given.astype("str")
