"""Checks of labels, scores and tables of predictions, with one wording."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

__all__ = ["as_classes", "as_scores", "check_predictions", "check_same_subjects"]


def as_classes(label: ArrayLike) -> NDArray[np.bool_]:
    """Turn labels 0 and 1 into booleans, True = positive.

    Args:
        label: (N,) 0 or 1.

    Raises:
        ValueError: the shape is not (N,), or a label is empty or something else; the text lists it.

    Example:
        >>> as_classes([0, 1]).tolist()
        [False, True]
    """
    labels = np.asarray(label)
    if labels.ndim != 1:
        raise ValueError(f"label must have shape (N,), however: label.shape={labels.shape}")
    n_empty = int(np.asarray(pd.isna(labels)).sum())
    if n_empty:
        raise ValueError(
            f"labels must be 0 or 1, however: {n_empty} of {labels.size} are empty: leave out these subjects"
        )
    strange = [str(value) for value in np.unique(labels) if value not in (0, 1)]
    if strange:
        raise ValueError(f"labels must be 0 or 1, however: label also holds {', '.join(strange[:5])}")
    return np.asarray(labels == 1)


def as_scores(name: str, values: ArrayLike, n: int) -> NDArray[np.float64]:
    """Turn scores into numbers, one a label.

    Args:
        name: Name of the argument, for the error.
        values: (N,), or (S, N) for S scores of the same subjects.
        n: Number of labels N.

    Raises:
        ValueError: the number differs, or a score is nan; the text says how many.

    Example:
        >>> as_scores("score", [1, 2], 2).tolist()
        [1.0, 2.0]
    """
    score = np.asarray(values, dtype=np.float64)
    if score.ndim not in (1, 2) or score.shape[-1] != n:
        raise ValueError(f"{name} must have one value a label, however: {score.shape} for {(n,)} labels")
    n_nan = int(np.isnan(score).sum())
    if n_nan:
        raise ValueError(
            f"{name} must not be nan, however: {n_nan} of {score.size} are: predict or leave out these subjects"
        )
    return score


def check_predictions(predictions: pd.DataFrame, keys: Sequence[str], extra: Sequence[str] = ()) -> None:
    """Refuse a table of predictions that cannot be evaluated.

    Args:
        predictions: Columns ``label`` (0 or 1), ``probability`` ([0, 1]), those of ``keys`` and ``extra``.
        keys: Columns that name a row; no two rows share them.
        extra: Further columns that must be there and filled.

    Raises:
        KeyError: a column is missing.
        ValueError: there is no row, a cell is empty, a label or probability is out of range, or two rows share their
            keys; the text gives the count and the first place.

    Example:
        >>> table = pd.DataFrame({"subject_id": ["a"], "label": [1], "probability": [0.3]})
        >>> check_predictions(table, ["subject_id"])
        >>> try:
        ...     check_predictions(table.assign(label=2), ["subject_id"])
        ... except ValueError as err:
        ...     print(err)
        a label must be 0 or 1, however: it is not in 1 rows, first 2: repair the labels or the prediction
    """
    needed = list(dict.fromkeys([*keys, "label", "probability", *extra]))
    absent = [name for name in needed if name not in predictions.columns]
    if absent:
        raise KeyError(f"predictions need the columns {needed}, however: {absent} are absent")
    if predictions.empty:
        raise ValueError(f"predictions need at least one row, however: {len(predictions)}: evaluate the bundle first")
    empty = predictions[needed].isna().sum()
    if empty.any():
        found = ", ".join(f"{count} in {name}" for name, count in empty.items() if count)
        raise ValueError(
            f"predictions must not have empty cells, however: {found}: predict or leave out these subjects"
        )
    for name, rule, holds in (
        ("label", "0 or 1", predictions["label"].isin([0, 1])),
        ("probability", "between 0 and 1", predictions["probability"].between(0, 1)),
    ):
        if not holds.all():
            first = predictions[~holds].iloc[0]
            named = [f"{key} {first[key]!r}" for key in keys if key != "subject_id"]
            place = " for " + ", ".join(named) if named else ""
            raise ValueError(
                f"a {name} must be {rule}, however: it is not in {(~holds).sum()} rows, first {first[name]}{place}: "
                "repair the labels or the prediction"
            )
    n_repeated = int(predictions.duplicated(list(keys)).sum())
    if n_repeated:
        context = " and ".join(key for key in keys if key != "subject_id")
        within = f" in a {context}" if context else ""
        raise ValueError(
            f"a subject may occur once{within}, however: {n_repeated} rows repeat one: keep a single run in the file"
        )


def check_same_subjects(pattern: str, tables: Mapping[str, pd.DataFrame]) -> None:
    """Refuse strategies that were not run on the same subjects with the same labels.

    Args:
        pattern: Name of the missing pattern, for the error.
        tables: Per strategy one row a subject, index ``subject_id`` in one order, column ``label``.

    Raises:
        ValueError: subjects or labels differ; the text says in how many.

    Example:
        >>> table = pd.DataFrame({"label": [1]}, index=["a"])
        >>> check_same_subjects("no table", {"discard": table, "greedy": table})
    """
    first, reference = next(iter(tables.items()))
    for strategy, table in tables.items():
        if not table.index.equals(reference.index):
            n_alone = len(table.index.symmetric_difference(reference.index))
            raise ValueError(
                f"strategies are compared on the same subjects, however: {n_alone} subjects of pattern {pattern!r} "
                f"are in only one of {first!r} and {strategy!r}: predict all subjects with every strategy"
            )
        n_differ = int((table["label"] != reference["label"]).sum())
        if n_differ:
            raise ValueError(
                f"a subject has one label, however: {n_differ} subjects of pattern {pattern!r} have another under "
                f"{strategy!r} than under {first!r}: evaluate all strategies on one label table"
            )
