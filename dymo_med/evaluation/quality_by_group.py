"""Quality of the selection by subgroup, small groups and small counts held back."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from dymo_med.evaluation.selection_quality import (
    NO_REGRET,
    fusion_outcomes,
    losses_beyond_best,
    regret_rows,
    reward_calibration,
)
from dymo_med.evaluation.subgroups import MIN_COUNT, NOT_KNOWN, small_groups
from dymo_med.utils import check_positive_int

__all__ = ["fusions_by_group", "regret_by_group", "rewards_by_group"]

SUPPRESSED = "suppressed: fewer than {} subjects of a class or behind a count, here or in a group that would reveal it"
FIFTHS = 5


def fusions_by_group(
    candidates: pd.DataFrame, groups: pd.DataFrame, by: Sequence[str], *, min_count: int = MIN_COUNT
) -> pd.DataFrame:
    """Count for every group of every variable how often fusing, and how often not fusing, was right.

    A group is suppressed where one of its classes has fewer than ``min_count`` subjects, or where fewer than that (but
    some) had a right or wrong fusion or rejection. Where it is the only one of its variable, so is the smallest of the
    others, for the sum over groups is no secret.

    Args:
        candidates: From :func:`~dymo_med.evaluation.selection_quality.candidates_of`, with ``subject_id``.
        groups: What :func:`~dymo_med.evaluation.subgroups.group_subjects` gives; subjects without a row are ``"not
            known"``.
        by: Columns to count by beside the groups.
        min_count: Smallest number of subjects that is shown.

    Returns:
        Columns ``variable``, ``group``, those of ``by`` and of
        :func:`~dymo_med.evaluation.selection_quality.fusion_outcomes`, and ``reason``: empty, or why the numbers are
        nan.

    Raises:
        ValueError: ``min_count`` is not a positive integer.

    Example:
        >>> subjects = [f"s{number}" for number in range(80)]
        >>> tried = pd.DataFrame({"subject_id": subjects, "label": [0, 1] * 40, "accepted": True, "gain": 0.1})
        >>> tried = tried.assign(is_right=[True, True, False, False] * 20, pattern="no table")
        >>> groups = pd.DataFrame({"sex": ["female"] * 40 + ["male"] * 40}, index=subjects)
        >>> fusions_by_group(tried, groups, ["pattern"])[["group", "decision", "n", "n_right"]].values.tolist()
        [['female', 'fused', 40.0, 20.0], ['male', 'fused', 40.0, 20.0]]
    """
    check_positive_int("min_count", min_count)
    needed = [*dict.fromkeys(["subject_id", "label", *by, "accepted", "is_right", "gain"])]
    tables = []
    for head, rows in _parts(candidates[needed], groups, by):
        counts = _classes(rows).join(_or_none(_subjects(rows, ["accepted", "is_right"]), min_count))
        table = fusion_outcomes(rows, ["group"])
        is_hidden = table["group"].isin(small_groups(counts, min_count))
        tables.append(_shown(table, is_hidden, head, ["group", "decision"], min_count))
    return _stacked(tables)


def regret_by_group(
    predictions: pd.DataFrame,
    groups: pd.DataFrame,
    keys: Sequence[str],
    by: Sequence[str],
    *,
    min_count: int = MIN_COUNT,
    n_resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare every strategy with the better of discard and fuse_all, for every group of every variable.

    Groups are suppressed as by :func:`fusions_by_group`; the counts are those of subjects with and without a
    prediction that was the best one.

    Args:
        predictions: As for :func:`~dymo_med.evaluation.selection_quality.regret`.
        groups: As for :func:`fusions_by_group`.
        keys: Columns that, beside subject and strategy, name a row.
        by: Columns to average by beside the groups.
        min_count: Smallest number of subjects that is shown.
        n_resamples: Resamples of subjects for the interval.
        seed: Seed of the resamples.

    Returns:
        Columns ``variable``, ``group``, those of ``by`` and of
        :func:`~dymo_med.evaluation.selection_quality.regret`, and ``reason``: empty, or why the numbers are nan.

    Raises:
        KeyError: a column is missing.
        ValueError: a subject occurs twice, discard or fuse_all is absent, or ``min_count`` is not a positive integer.

    Example:
        >>> subjects = [f"s{number}" for number in range(80)]
        >>> one = pd.DataFrame({"subject_id": subjects, "label": [0, 1] * 40, "pattern": "no table"})
        >>> one = pd.concat([one.assign(strategy=name, probability=0.5) for name in ("discard", "fuse_all")])
        >>> groups = pd.DataFrame({"sex": ["female"] * 40 + ["male"] * 35 + ["not known"] * 5}, index=subjects)
        >>> regret_by_group(one, groups, ["pattern"], ["pattern"])[["group", "n"]].values.tolist()[::2]
        [['female', 40.0], ['male', nan], ['not known', nan]]
    """
    check_positive_int("min_count", min_count)
    losses, strategies = losses_beyond_best(predictions, list(keys), list(by))
    tables = []
    for head, rows in _parts(losses, groups, by):
        figures = [
            {"group": group} | row
            for group, own in rows.groupby("group", sort=True)
            for row in regret_rows(own, strategies, n_resamples=n_resamples, seed=seed)
        ]
        table, classes = pd.DataFrame(figures), _classes(rows)
        is_hidden = pd.Series(False, index=table.index)
        for strategy in strategies:
            is_best = rows[["subject_id", "group"]].assign(is_best=rows[strategy] <= NO_REGRET)
            hidden = small_groups(classes.join(_or_none(_subjects(is_best, ["is_best"]), min_count)), min_count)
            is_hidden |= (table["strategy"] == strategy) & table["group"].isin(hidden)
        tables.append(_shown(table, is_hidden, head, ["group", "strategy"], min_count))
    return _stacked(tables)


def rewards_by_group(
    candidates: pd.DataFrame,
    groups: pd.DataFrame,
    by: Sequence[str],
    *,
    n_groups: int = FIFTHS,
    min_count: int = MIN_COUNT,
) -> pd.DataFrame:
    """Compare the reward with the true change of the loss, for every group of every variable.

    Groups are suppressed as by :func:`fusions_by_group`; the counts are those of subjects whom fusing would have
    helped, and of those whom it would not, in each part by reward.

    Args:
        candidates: As for :func:`fusions_by_group`.
        groups: As for :func:`fusions_by_group`.
        by: Columns to compare by beside the groups.
        n_groups: Number of parts of equal size by reward; fewer than for everybody, for subgroups are small.
        min_count: Smallest number of subjects that is shown.

    Returns:
        Columns ``variable``, ``group``, those of ``by`` and of
        :func:`~dymo_med.evaluation.selection_quality.reward_calibration`, ``overall_n``, ``overall_spearman``,
        ``overall_auroc``, and ``reason``: empty, or why the numbers are nan. A suppressed group is one row.

    Raises:
        ValueError: ``n_groups`` or ``min_count`` is not a positive integer.

    Example:
        >>> subjects = [f"s{number}" for number in range(80)]
        >>> tried = pd.DataFrame({"subject_id": subjects, "label": [0, 1] * 40, "pattern": "no table"})
        >>> tried = tried.assign(reward=range(80), gain=[-1.0, 1.0] * 40)
        >>> groups = pd.DataFrame({"sex": "female"}, index=subjects)
        >>> rewards_by_group(tried, groups, ["pattern"], n_groups=2)[["group", "reward", "gain"]].values.tolist()
        [['female', 19.5, 0.0], ['female', 59.5, 0.0]]
    """
    check_positive_int("min_count", min_count)
    needed = [*dict.fromkeys(["subject_id", "label", *by, "reward", "gain"])]
    tables = []
    for head, rows in _parts(candidates[needed], groups, by):
        parts, counts = [], _classes(rows)
        for group, own in rows.groupby("group", sort=True):
            table, overall = reward_calibration(own, n_groups=n_groups)
            parts.append(table.assign(group=group, **{f"overall_{name}": value for name, value in overall.items()}))
            bounds = table["n"].cumsum().to_numpy()
            place = own["reward"].rank(method="min").to_numpy() - 1
            part = pd.Series(bounds.searchsorted(place, side="right"), index=own.index)
            helped = own[["subject_id", "group"]].assign(part=part, is_helped=own["gain"] > 0)
            smallest = _or_none(_subjects(helped, ["part", "is_helped"]), min_count).min(axis=1)
            counts.loc[group, "smallest"] = smallest[group]
        table = pd.concat(parts, ignore_index=True)
        is_hidden = table["group"].isin(small_groups(counts, min_count))
        tables.append(_shown(table, is_hidden, head, ["group"], min_count))
    return _stacked(tables)


def _parts(
    rows: pd.DataFrame, groups: pd.DataFrame, by: Sequence[str]
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Give for every variable and key the rows with the group of their subject."""
    for variable in groups.columns:
        member = groups[variable].reindex(rows["subject_id"]).fillna(NOT_KNOWN).to_numpy()
        for key, part in rows.assign(group=member).groupby(list(by), sort=True, observed=True):
            yield {"variable": variable} | dict(zip(by, key, strict=True)), part


def _classes(rows: pd.DataFrame) -> pd.DataFrame:
    """Count the subjects of each class, one row a group."""
    subjects = rows.drop_duplicates(["group", "subject_id"])
    return pd.crosstab(subjects["group"], subjects["label"]).reindex(columns=[0, 1], fill_value=0)


def _subjects(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Count the subjects behind each combination of values, one row a group."""
    different = rows[["group", "subject_id", *names]].drop_duplicates()
    counts = different.groupby(["group", *names], observed=True).size().unstack(names, fill_value=0)
    return counts.set_axis(counts.columns.map(str), axis=1)


def _or_none(counts: pd.DataFrame, min_count: int) -> pd.DataFrame:
    """Let a count of nobody pass as large enough: it tells of no subject."""
    return counts.where(counts > 0, min_count)


def _shown(
    table: pd.DataFrame, is_hidden: pd.Series, head: dict[str, Any], names: list[str], min_count: int
) -> pd.DataFrame:
    """Empty the numbers of hidden rows, one row of each name, and put variable, group and keys first."""
    numbers = table.columns.difference(names)
    shown = table.astype(dict.fromkeys(numbers, float))
    shown.loc[is_hidden, numbers] = float("nan")
    shown["reason"] = is_hidden.map({True: SUPPRESSED.format(min_count), False: ""})
    shown = shown[~(is_hidden & shown.duplicated(names))]
    first = {"variable": head["variable"], "group": shown.pop("group")} | head
    for place, (name, values) in enumerate(first.items()):
        shown.insert(place, name, values)
    return shown


def _stacked(tables: list[pd.DataFrame]) -> pd.DataFrame:
    columns = ["variable", "group", "reason"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)
