"""Figures of merit by subgroup, small groups held back."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from dymo_med.evaluation.figures import figures_of_merit
from dymo_med.evaluation.inputs import check_predictions
from dymo_med.utils import check_positive_int

__all__ = [
    "AGE_BANDS_YEARS",
    "BMI_BANDS_KG_PER_M2",
    "MIN_COUNT",
    "NOT_KNOWN",
    "group_subjects",
    "small_groups",
    "subgroup_figures",
]

AGE_BANDS_YEARS = (50.0, 60.0, 70.0)
"""Bounds between the age bands: decades of UK Biobank's imaging visits."""
BMI_BANDS_KG_PER_M2 = (18.5, 25.0, 30.0)
"""Bounds between underweight, normal weight, overweight and obesity (World Health Organization, 2000)."""
NOT_KNOWN = "not known"
MIN_COUNT = 10
SUPPRESSED = "suppressed: fewer than {} subjects of a class, here or in the group that this one would reveal"


def group_subjects(
    subjects: pd.DataFrame, *, columns: Sequence[str] = (), bands: Mapping[str, Sequence[float]] | None = None
) -> pd.DataFrame:
    """Put every subject into one group of every variable.

    Args:
        subjects: One row a subject, index ``subject_id``; raw values, as in a cohort's ``subjects.parquet``.
        columns: Categorical columns taken as they are, such as sex, ethnic group or imaging center. Columns that the
            table lacks are left out: not every cohort has a center.
        bands: Per numeric column the bounds between its bands, rising; a bound belongs to the band above it.

    Returns:
        Text, index ``subject_id``, one column a variable; empty cells become ``"not known"``.

    Raises:
        ValueError: bounds do not rise.

    Example:
        >>> subjects = pd.DataFrame({"sex": ["female", None], "age_years": [49.0, 60.0]}, index=["a", "b"])
        >>> group_subjects(subjects, columns=["sex", "center"], bands={"age_years": (50, 60)}).values.tolist()
        [['female', 'below 50'], ['not known', '60 and above']]
    """
    groups = {
        name: subjects[name].astype("object").where(subjects[name].notna(), NOT_KNOWN).astype(str)
        for name in columns
        if name in subjects
    }
    for name, bounds in (bands or {}).items():
        if list(bounds) != sorted(set(bounds)) or not len(bounds):
            raise ValueError(f"bounds of bands must rise, however: {list(bounds)} for {name!r}: sort them")
        if name in subjects:
            groups[name] = _banded(subjects[name], bounds)
    return pd.DataFrame(groups, index=subjects.index)


def subgroup_figures(
    predictions: pd.DataFrame, groups: pd.DataFrame, *, min_count: int = MIN_COUNT, **options: Any
) -> pd.DataFrame:
    """Tabulate figures of merit for every group of every variable.

    A group is suppressed when it, or one of its classes, has fewer than ``min_count`` subjects. Where a single group of
    a variable is suppressed its counts could be had by subtraction, so the smallest of the others is suppressed too.

    Args:
        predictions: One row a subject: ``subject_id``, ``label``, ``probability``.
        groups: What :func:`group_subjects` gives; subjects without a row are ``"not known"``.
        min_count: Smallest number of subjects of a class that is shown.
        options: As for :func:`~dymo_med.evaluation.figures.figures_of_merit`.

    Returns:
        Columns ``variable``, ``group`` and those of :func:`~dymo_med.evaluation.figures.figures_of_merit`; of a
        suppressed group all numbers, counts too, are nan, and ``reason`` says so.

    Raises:
        KeyError: a column is missing.
        ValueError: a subject occurs twice, a cell is empty, or an option is out of range.

    Example:
        >>> subjects = [f"s{number}" for number in range(80)]
        >>> label, probability = np.arange(80) % 2, np.linspace(0.1, 0.9, 80)
        >>> predictions = pd.DataFrame({"subject_id": subjects, "label": label, "probability": probability})
        >>> groups = pd.DataFrame({"sex": ["female"] * 40 + ["male"] * 37 + ["not known"] * 3}, index=subjects)
        >>> table = subgroup_figures(predictions, groups, n_resamples=10).query("figure == 'auroc'")
        >>> table[["group", "n"]].values.tolist()
        [['female', 40.0], ['male', nan], ['not known', nan]]
    """
    check_positive_int("min_count", min_count)
    check_predictions(predictions, ["subject_id"])
    indexed = predictions.set_index("subject_id")
    tables = []
    for variable in groups.columns:
        member = groups[variable].reindex(indexed.index).fillna(NOT_KNOWN)
        counts = pd.crosstab(member, indexed["label"]).reindex(columns=[0, 1], fill_value=0)
        hidden = small_groups(counts, min_count)
        for group in counts.index:
            inside = indexed.iloc[:0] if group in hidden else indexed[(member == group).to_numpy()]
            figures = figures_of_merit(inside["label"], inside["probability"], **options)
            if group in hidden:
                figures = figures.assign(n=np.nan, n_positive=np.nan, reason=SUPPRESSED.format(min_count))
            figures = figures.astype({"n": float, "n_positive": float})
            figures.insert(0, "group", group)
            figures.insert(0, "variable", variable)
            tables.append(figures)
    return pd.concat(tables, ignore_index=True)


def small_groups(counts: pd.DataFrame, min_count: int) -> set[str]:
    """Name the groups with too small a count, and the smallest other one where only one is hidden.

    Args:
        counts: One row a group of a variable, one column a count.
        min_count: Smallest count that is shown.

    Example:
        >>> counts = pd.DataFrame({0: [40, 30, 3], 1: [20, 15, 2]}, index=["north", "south", "west"])
        >>> sorted(small_groups(counts, 10))
        ['south', 'west']
    """
    small = counts.index[counts.min(axis=1) < min_count]
    others = counts.drop(index=small).sum(axis=1)
    hidden = {str(group) for group in small}
    if len(hidden) == 1 and len(others):
        hidden.add(str(others.idxmin()))
    return hidden


def _banded(values: pd.Series, bounds: Sequence[float]) -> pd.Series:
    middle = [f"{low:g} to below {high:g}" for low, high in pairwise(bounds)]
    names = [f"below {bounds[0]:g}", *middle, f"{bounds[-1]:g} and above"]
    cut = pd.cut(values.astype(float), [-np.inf, *bounds, np.inf], right=False, labels=names)
    return cut.astype("object").where(cut.notna(), NOT_KNOWN).astype(str)
