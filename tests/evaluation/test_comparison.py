import math

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from dymo_med.evaluation.comparison import compare_pairs, compare_strategies, write_comparison
from dymo_med.evaluation.discrimination import auroc_interval, paired_auroc_test

STRATEGIES = ("discard", "fuse_all", "greedy")
N = 60


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    label = np.arange(N) % 3 == 0
    frames = []
    for pattern, noise in (("no table", 1.0), ("half table", 0.5)):
        for strategy in STRATEGIES:
            fused = np.full(N, "" if strategy == "discard" else "table")
            if strategy == "greedy":
                fused[:15] = ""
            score = label + noise * rng.normal(size=N)
            frame = pd.DataFrame(
                {
                    "subject_id": [f"{index:03d}" for index in range(N)],
                    "pattern": pattern,
                    "strategy": strategy,
                    "label": label.astype(int),
                    "probability": 1 / (1 + np.exp(-score)),
                    "fused": fused,
                }
            )
            frames.append(frame.sample(frac=1, random_state=int(rng.integers(1000))))  # rows in any order
    return pd.concat(frames, ignore_index=True)


def test_rows_come_in_order_of_appearance(predictions):
    table = compare_strategies(predictions)
    assert list(zip(table["pattern"], table["strategy"], strict=True)) == [
        (pattern, strategy) for pattern in ("no table", "half table") for strategy in STRATEGIES
    ]
    assert table["n"].tolist() == [N] * 6
    assert table["n_positive"].tolist() == [20] * 6


def test_figures_equal_those_of_each_part(predictions):
    table = compare_strategies(predictions)
    for _, row in table.iterrows():
        of_pattern = predictions[predictions["pattern"] == row["pattern"]].sort_values("subject_id")
        own = of_pattern[of_pattern["strategy"] == row["strategy"]]
        discard = of_pattern[of_pattern["strategy"] == "discard"]
        area = auroc_interval(own["label"], own["probability"])
        assert (row["auroc"], row["auroc_low"], row["auroc_high"]) == (area.value, area.low, area.high)
        if row["strategy"] == "discard":
            assert row[["difference", "difference_low", "difference_high", "p_value"]].isna().all()
        else:
            gain = paired_auroc_test(own["label"], own["probability"], discard["probability"])
            assert row["difference"] == gain.difference
            assert (row["difference_low"], row["difference_high"]) == (gain.low, gain.high)
            assert row["p_value"] == gain.p_value


def test_share_counts_other_fused_sets(predictions):
    table = compare_strategies(predictions)
    assert table["share_not_fuse_all"].tolist() == [1.0, 0.0, 15 / N] * 2


def test_baselines_may_be_absent(predictions):
    table = compare_strategies(predictions[predictions["strategy"] == "greedy"])
    assert table[["share_not_fuse_all", "difference", "p_value"]].isna().all().all()
    assert table["auroc"].notna().all()


def test_one_class_is_nan_with_a_warning(predictions):
    with pytest.warns(UserWarning, match="20 positive and 0 negative"):
        table = compare_strategies(predictions[predictions["label"] == 1])
    assert table["auroc"].isna().all()


def test_files_hold_the_comparison(predictions, tmp_path):
    predictions.to_csv(tmp_path / "predictions.csv", index=False)
    table = write_comparison(tmp_path / "predictions.csv", tmp_path / "report")
    pd.testing.assert_frame_equal(table, compare_strategies(predictions))
    assert sorted(file.name for file in (tmp_path / "report").iterdir()) == ["comparison.csv", "comparison.txt"]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "report" / "comparison.csv"), table)
    lines = (tmp_path / "report" / "comparison.txt").read_text().splitlines()
    assert len(lines) == 7
    greedy = table.iloc[2]
    assert f"{greedy['auroc']:.3f} ({greedy['auroc_low']:.3f} to {greedy['auroc_high']:.3f})" in lines[3]
    assert f"{greedy['difference']:+.3f} (" in lines[3]
    assert lines[1].split()[-1] == "-"


def test_absent_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no predictions at .*nothing\.csv: evaluate the bundle first"):
        write_comparison(tmp_path / "nothing.csv", tmp_path)


def test_file_with_an_empty_probability_is_refused(predictions, tmp_path):
    predictions.loc[3, "probability"] = math.nan
    predictions.to_csv(tmp_path / "predictions.csv", index=False)
    with pytest.raises(ValueError, match="empty cells, however: 1 in probability"):
        write_comparison(tmp_path / "predictions.csv", tmp_path)


def change(predictions, column, value, row=0):
    return predictions.assign(**{column: predictions[column].where(predictions.index != row, value)})


@pytest.mark.parametrize(
    ("spoil", "error", "text"),
    [
        (lambda p: p.drop(columns="fused"), KeyError, r"need the columns .*however: \['fused'\] are absent"),
        (lambda p: p.iloc[:0], ValueError, "at least one row, however: 0"),
        (lambda p: change(p, "fused", None), ValueError, "empty cells, however: 1 in fused"),
        (lambda p: change(p, "label", 2), ValueError, "label must be 0 or 1.*1 rows, first 2 for pattern 'no table'"),
        (lambda p: change(p, "probability", 1.5), ValueError, "between 0 and 1.*1 rows, first 1.5.*'discard'"),
        (lambda p: pd.concat([p, p.iloc[:4]]), ValueError, "once in a pattern and strategy, however: 4 rows"),
        (
            lambda p: p.iloc[1:],
            ValueError,
            "1 subjects of pattern 'no table' are in only one of 'discard' and 'fuse_all'",
        ),
        (
            lambda p: change(p, "label", 1 - p["label"][70], row=70),
            ValueError,
            "1 subjects of pattern 'no table' have another under 'fuse_all' than under 'discard'",
        ),
    ],
)
def test_refusals(predictions, spoil, error, text):
    with pytest.raises(error, match=text):
        compare_strategies(spoil(predictions))


def test_p_values_are_adjusted_for_the_whole_table(predictions):
    table = compare_strategies(predictions)
    made = table["p_value"].notna()
    assert made.sum() == 4
    expected = multipletests(table.loc[made, "p_value"], method="holm")[1]
    np.testing.assert_allclose(table.loc[made, "p_holm"], expected)
    assert table.loc[~made, "p_holm"].isna().all()


def test_every_pair_is_compared_once(predictions):
    pairs = compare_pairs(predictions)
    assert len(pairs) == 2 * 3
    row = pairs.query("pattern == 'half table' and strategy_a == 'fuse_all' and strategy_b == 'greedy'").iloc[0]
    tables = {
        name: predictions.query("pattern == 'half table' and strategy == @name").sort_values("subject_id")
        for name in ("fuse_all", "greedy")
    }
    expected = paired_auroc_test(
        tables["greedy"]["label"], tables["fuse_all"]["probability"], tables["greedy"]["probability"]
    )
    assert row[["n", "difference", "low", "high", "p_value"]].tolist() == [
        N,
        expected.difference,
        expected.low,
        expected.high,
        expected.p_value,
    ]
    np.testing.assert_allclose(pairs["p_holm"], multipletests(pairs["p_value"], method="holm")[1])


def test_pairs_need_the_same_subjects(predictions):
    with pytest.raises(ValueError, match="compared on the same subjects, however: 1 subjects of pattern 'no table'"):
        compare_pairs(predictions.iloc[1:])
