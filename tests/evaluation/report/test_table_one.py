"""Table 1 against numbers worked out by hand and by other libraries."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dymo_med.evaluation.report.groups import Groups
from dymo_med.evaluation.report.table_one import Variable, mean_difference, share_difference, table_one

N = 400
RNG = np.random.default_rng(3)
ARM = RNG.random(N) < 0.4
GROUPS = Groups({"arm": {"treated": ARM, "control": ~ARM}}, n_subjects=N, min_count=10)


def rows_of(*variables, groups=GROUPS, partition=0):
    table = table_one("A table", variables, groups, groups.partitions[partition])
    assert table.header == ["", "all", *[groups.titles[at] for at in groups.partitions[partition].columns], "SMD"]
    return table.rows


def test_numbers_are_mean_and_standard_deviation_of_observed_values():
    values = pd.Series(60 + 8 * RNG.standard_normal(N))
    values[RNG.random(N) < 0.2] = np.nan
    size, row, missing = rows_of(Variable(title="age", values=values))
    assert size[:4] == ["n", "400", str(int(ARM.sum())), str(int((~ARM).sum()))]
    for cell, members in zip(row[1:4], (np.ones(N, bool), ARM, ~ARM), strict=True):
        assert cell == f"{values[members].mean():.1f} ({values[members].std():.1f})"
    one, other = values[ARM], values[~ARM]
    expected = abs(one.mean() - other.mean()) / math.sqrt((one.var() + other.var()) / 2)
    assert row[4] == f"{expected:.2f}"
    absent = values.isna()
    assert missing[:3] == [
        "missing",
        f"{absent.sum()} ({100 * absent.mean():.1f} %)",
        f"{absent[ARM].sum()} ({100 * absent[ARM].mean():.1f} %)",
    ]


def test_skewed_numbers_are_median_and_quartiles():
    values = pd.Series(np.exp(RNG.standard_normal(N)) * 10)
    assert stats.skew(values) > 1
    (_, row) = rows_of(Variable(title="minutes", values=values))
    low, middle, high = values.quantile([0.25, 0.5, 0.75])
    assert row[1] == f"{middle:.0f} [{low:.0f}, {high:.0f}]"


@pytest.mark.parametrize(("scale", "text"), [(1000, "60000 (1000)"), (1, "60.0 (1.0)"), (0.001, "0.0600 (0.0010)")])
def test_decimals_follow_the_spread(scale, text):
    unit = pd.Series(stats.norm.ppf((np.arange(N) + 0.5) / N))
    values = (60 + (unit - unit.mean()) / unit.std()) * scale
    assert rows_of(Variable(title="x", values=values))[1][1] == text


def test_categories_are_counts_and_shares():
    values = pd.Series(np.where(RNG.random(N) < np.where(ARM, 0.3, 0.5), "yes", "no"))
    _, head, no, yes = rows_of(Variable(title="smoker", values=values, levels=("no", "yes")))
    assert head == ["smoker, n (%)"]
    assert yes[1] == f"{(values == 'yes').sum()} ({100 * (values == 'yes').mean():.1f} %)"
    p, q = ((values[members] == "yes").mean() for members in (ARM, ~ARM))
    assert no[4] == f"{abs(p - q) / math.sqrt((p * (1 - p) + q * (1 - q)) / 2):.2f}"
    assert yes[4] == ""


def test_differences_of_shares_do_not_depend_on_the_order_of_categories():
    first, second = np.array([10, 30, 60]), np.array([25, 25, 50])
    whole = share_difference(first, second)
    for order in ([1, 0, 2], [2, 1, 0]):
        assert share_difference(first[order], second[order]) == pytest.approx(whole)
    assert share_difference(np.array([10, 0, 30]), np.array([20, 0, 20])) == pytest.approx(
        share_difference(np.array([10, 30]), np.array([20, 20]))
    )


@pytest.mark.parametrize(
    ("first", "second"), [([0, 0], [1, 2]), ([5, 0], [7, 0]), ([5, 0], [0, 5]), ([0, 3, 0], [0, 5, 0])]
)
def test_undefined_differences_are_nan(first, second):
    assert math.isnan(share_difference(np.array(first), np.array(second)))


def test_undefined_differences_of_means_are_nan():
    assert math.isnan(mean_difference(np.array([1.0]), np.array([1.0, 2.0])))
    assert math.isnan(mean_difference(np.array([1.0, 1.0]), np.array([1.0, 1.0])))
    constant = rows_of(Variable(title="x", values=pd.Series(5.0, index=range(N))))
    assert constant[1] == ["x", "5.0 (0.0)", "5.0 (0.0)", "5.0 (0.0)", "–"]


def test_the_largest_of_several_differences_is_told():
    members = {name: np.arange(N) % 4 == at for at, name in enumerate(("a", "b", "c", "unknown"))}
    groups = Groups({"site": members}, n_subjects=N, min_count=10)
    values = pd.Series(RNG.standard_normal(N) + 3 * members["c"] + 50 * members["unknown"])
    pairs = [
        mean_difference(values[members[x]].to_numpy(), values[members[y]].to_numpy()) for x, y in ("ab", "ac", "bc")
    ]
    assert rows_of(Variable(title="x", values=values), groups=groups)[1][-1] == f"{max(pairs):.2f}"


def test_small_groups_tell_nothing():
    few = np.arange(N) < 5
    groups = Groups({"arm": {"few": few, "many": ~few}}, n_subjects=N, min_count=10)
    values = pd.Series(RNG.standard_normal(N) + 20)
    size, row = rows_of(Variable(title="x", values=values), groups=groups)
    assert size == ["n", "400", "<10", "withheld", ""]
    assert row[2:] == ["withheld", "withheld", "–"]
    values[12:] = np.nan
    row, missing = rows_of(Variable(title="x", values=values))[1:]
    assert row[1] != "withheld"
    assert row[2:4] == ["withheld", "withheld"]
    assert missing[1] == "388 (97.0 %)"
