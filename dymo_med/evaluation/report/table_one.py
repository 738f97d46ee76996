"""Table 1: what the subjects of each group are like, and how much groups differ."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dymo_med.evaluation.report.groups import Groups, Partition
from dymo_med.evaluation.report.page import Table
from dymo_med.evaluation.report.suppression import COUNT_NOTE, HIDDEN, count_text

__all__ = ["Variable", "mean_difference", "share_difference", "table_one"]

_SKEWED = 1.0
"""Skewness beyond which median and quartiles are told in place of mean and standard deviation."""

NOTE = (
    "Numbers: mean (standard deviation), or median [quartiles] where the skewness is beyond 1, of observed values; "
    "else n (% of the group). SMD: standardized mean difference, the largest between two groups; above 0.1 is commonly "
    "called an imbalance; for categories the Mahalanobis distance of their shares. "
)


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One variable of the table.

    Args:
        title: Title with unit.
        values: (N,) text of a category, or numbers; missing where unknown.
        levels: Categories in order; empty for numbers.

    Example:
        >>> Variable(title="sex", values=pd.Series(["female", None]), levels=("female", "male")).codes.tolist()
        [0, 2]
    """

    title: str
    values: pd.Series
    levels: tuple[str, ...] = ()

    @property
    def codes(self) -> NDArray[np.int64]:
        """Level of each subject, the number of levels where it is missing; numbers have one level, "observed"."""
        missing = self.values.isna().to_numpy(dtype=bool)
        if not self.levels:
            return missing.astype(np.int64)
        known = pd.Categorical(self.values, categories=list(self.levels)).codes
        return np.where(missing, len(self.levels), known).astype(np.int64)


def table_one(caption: str, variables: Sequence[Variable], groups: Groups, partition: Partition) -> Table:
    """Make the table of one partition; small counts, and what would tell them, are hidden alike in all tables.

    Args:
        caption: What the table shows.
        variables: Rows, each with values of the same N subjects.
        groups: All groups of all tables.
        partition: The groups to show, beside everybody.

    Example:
        >>> members = np.arange(40) % 2 == 0
        >>> groups = Groups({"arm": {"a": members, "b": ~members}}, n_subjects=40, min_count=10)
        >>> age = Variable(title="age (years)", values=pd.Series(50.0 + np.arange(40) // 20 * 10))
        >>> table_one("Arms", [age], groups, groups.partitions[0]).rows[1][:3]
        ['age (years)', '55.0 (5.1)', '55.0 (5.1)']
    """
    columns = [0, *partition.columns]
    rows: list[list[str]] = [["n", *(_size(groups, column) for column in columns), ""]]
    for variable in variables:
        rows += _rows(variable, groups, columns, partition)
    titles = [groups.titles[column] for column in columns]
    note = COUNT_NOTE.format(largest=groups.min_count - 1, min_count=groups.min_count) if groups.min_count > 1 else ""
    return Table(caption=caption, header=["", *titles, "SMD"], rows=rows, note=NOTE + note)


def mean_difference(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Give the standardized difference of two means, with the mean of both variances.

    Args:
        first: Observed values of one group.
        second: Observed values of the other.

    Returns:
        Absolute difference; nan if a group has fewer than two values or nothing varies.

    Source:
        Austin 2009, Statistics in Medicine 28:3083.

    Example:
        >>> round(mean_difference(np.array([1.0, 3.0]), np.array([2.0, 4.0])), 4)
        0.7071
    """
    if min(len(first), len(second)) < 2:
        return math.nan
    spread = math.sqrt((first.var(ddof=1) + second.var(ddof=1)) / 2)
    return abs(float(first.mean() - second.mean())) / spread if spread > 0 else math.nan


def share_difference(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """Give the standardized difference of two distributions over the same categories.

    Args:
        first: (L,) counts of one group.
        second: (L,) counts of the other.

    Returns:
        Mahalanobis distance of the shares of all categories but the first; nan if a group is empty or nothing varies.

    Source:
        Yang and Dalton 2012, SAS Global Forum 335.

    Example:
        >>> round(share_difference(np.array([50, 50]), np.array([40, 60])), 4)
        0.202
    """
    if min(first.sum(), second.sum()) == 0:
        return math.nan
    kept = np.flatnonzero(first + second)[1:]
    if len(kept) == 0:
        return math.nan
    p, q = first[kept] / first.sum(), second[kept] / second.sum()
    covariance = (np.diag(p) - np.outer(p, p) + np.diag(q) - np.outer(q, q)) / 2
    distance = float((p - q) @ np.linalg.pinv(covariance) @ (p - q))
    return math.sqrt(max(distance, 0.0)) if np.linalg.matrix_rank(covariance) == len(kept) else math.nan


def _size(groups: Groups, column: int) -> str:
    return count_text(int(groups.sizes[column]), groups.min_count, is_hidden=bool(groups.withheld[column]))


def _rows(variable: Variable, groups: Groups, columns: Sequence[int], partition: Partition) -> list[list[str]]:
    names = [*(variable.levels or ("observed",)), "missing"]
    counts = groups.counts(variable.codes, len(names))
    hidden = groups.hidden(counts)
    texts = [
        [
            count_text(int(count), groups.min_count, is_hidden=bool(is_hidden), total=int(groups.sizes[column]))
            for count, is_hidden, column in zip(counts[level, columns], hidden[level, columns], columns, strict=True)
        ]
        for level in range(len(names))
    ]
    missing = [["missing", *texts[-1], ""]] if counts[-1, 0] else []
    if variable.levels:
        difference = _largest([_shares(counts, hidden, pair) for pair in itertools.combinations(partition.compared, 2)])
        told = [difference, *[""] * (len(variable.levels) - 1)]
        levels = [[name, *cells, last] for name, cells, last in zip(variable.levels, texts, told, strict=False)]
        return [[f"{variable.title}, n (%)"], *levels, *missing]
    return [_numbers_row(variable, groups, columns, partition), *missing]


def _numbers_row(variable: Variable, groups: Groups, columns: Sequence[int], partition: Partition) -> list[str]:
    observed = [variable.values[members].dropna().to_numpy(dtype=np.float64) for members in groups.members]
    enough = [len(numbers) >= groups.min_count for numbers in observed] & ~groups.withheld
    is_skewed = _is_skewed(observed[0])
    cells = [_summary(observed[column], is_skewed) if enough[column] else HIDDEN for column in columns]
    pairs = itertools.combinations([column for column in partition.compared if enough[column]], 2)
    difference = _largest([mean_difference(observed[one], observed[other]) for one, other in pairs])
    return [variable.title, *cells, difference]


def _shares(counts: NDArray[np.int64], hidden: NDArray[np.bool_], pair: tuple[int, int]) -> float:
    one, other = pair
    if hidden[:, [one, other]].any():
        return math.nan
    return share_difference(counts[:-1, one], counts[:-1, other])


def _largest(differences: Sequence[float]) -> str:
    known = [difference for difference in differences if not math.isnan(difference)]
    return f"{max(known):.2f}" if known else "–"


def _is_skewed(numbers: NDArray[np.float64]) -> bool:
    if len(numbers) < 3 or numbers.std() == 0:
        return False
    standard = (numbers - numbers.mean()) / numbers.std()
    return abs(float((standard**3).mean())) > _SKEWED


def _summary(numbers: NDArray[np.float64], is_skewed: bool) -> str:
    if len(numbers) == 0:
        return "–"
    if is_skewed:
        low, middle, high = np.percentile(numbers, (25, 50, 75))
        digits = _digits(middle, high - low)
        return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
    spread = float(numbers.std(ddof=1)) if len(numbers) > 1 else math.nan
    digits = _digits(float(numbers.mean()), spread)
    return f"{numbers.mean():.{digits}f} ({'–' if math.isnan(spread) else f'{spread:.{digits}f}'})"


def _digits(center: float, spread: float) -> int:
    """Give the decimals that show a spread with two or three figures."""
    size = spread if spread > 0 else abs(center)
    return int(np.clip(1 - math.floor(math.log10(size)), 0, 4)) if size > 0 and math.isfinite(size) else 1
