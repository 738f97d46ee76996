import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from dymo_med.evaluation import summarize_seeds, summary_text

STRATEGIES = ["discard", "greedy"]


def tables(n_seeds=3, seed=0):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_seeds):
        accuracy = rng.uniform(0.5, 1, 4)
        difference = [np.nan, accuracy[1] - accuracy[0], np.nan, accuracy[3] - accuracy[2]]
        rows = {"pattern": ["eta 0.8"] * 2 + ["eta 0.2"] * 2, "strategy": STRATEGIES * 2}
        found.append(pd.DataFrame({**rows, "accuracy": accuracy, "difference": difference}))
    return found


def test_intervals_are_those_of_student():
    models = {"cosine": tables(3), "euclidean": tables(4, seed=1)}
    summary = summarize_seeds(models)
    keys = ["model", "pattern", "strategy"]
    assert summary[keys].values.tolist()[:2] == [["cosine", "eta 0.8", "discard"], ["cosine", "eta 0.8", "greedy"]]
    for _, row in summary.iterrows():
        parts = [
            table.set_index(["pattern", "strategy"]).loc[(row["pattern"], row["strategy"])]
            for table in models[row["model"]]
        ]
        assert row["n_seeds"] == len(parts)
        for name in ("accuracy", "difference"):
            values = [part[name] for part in parts]
            if np.isnan(values).any():
                assert np.isnan(row[[name, f"{name}_low", f"{name}_high"]].astype(float)).all()
                continue
            low, high = ttest_1samp(values, 0).confidence_interval(0.95)
            if name == "accuracy":
                low, high = max(low, 0), min(high, 1)
            assert row[name] == pytest.approx(np.mean(values))
            assert (row[f"{name}_low"], row[f"{name}_high"]) == (pytest.approx(low), pytest.approx(high))
    assert summary["published"].isna().all()


def test_published_figures_stand_beside():
    published = pd.DataFrame(
        [("cosine", "eta 0.8", "greedy", 0.9661), ("other", "eta 0.8", "greedy", 0.5)],
        columns=["model", "pattern", "strategy", "published"],
    )
    summary = summarize_seeds({"cosine": tables()}, published)
    assert len(summary) == 4
    assert summary["published"].tolist()[1] == 0.9661
    assert summary["published"].isna().sum() == 3
    text = summary_text(summary)
    assert "96.61" in text
    row = summary.iloc[1]
    assert f"{100 * row['accuracy']:.2f} ({100 * row['accuracy_low']:.2f} to" in text


def test_one_seed_has_no_interval():
    with pytest.warns(UserWarning, match="needs two or more, however: a model has 1"):
        summary = summarize_seeds({"cosine": tables(1)})
    assert summary["accuracy"].notna().all()
    assert summary[["accuracy_low", "accuracy_high"]].isna().all().all()
    assert "(" not in summary_text(summary).split("\n")[1]


@pytest.mark.parametrize(
    ("models", "error", "match"),
    [
        ({}, ValueError, "one model or more"),
        ({"a": []}, ValueError, "'a' has 0"),
        (
            {"a": [pd.DataFrame({"pattern": []})]},
            KeyError,
            r"\['strategy', 'accuracy', 'difference'\] are absent of 'a'",
        ),
        ({"a": [tables()[0], tables()[1][1:]]}, ValueError, r"table 1 of 'a' differs from table 0 in \[\('eta 0.8'"),
    ],
)
def test_what_cannot_be_summarized_is_refused(models, error, match):
    with pytest.raises(error, match=match):
        summarize_seeds(models)


def test_interval_of_an_accuracy_ends_at_one():
    found = [pd.DataFrame({"pattern": ["all"], "strategy": ["greedy"], "accuracy": [value], "difference": [value]})
             for value in (0.99, 0.8, 1.0)]  # fmt: skip
    row = summarize_seeds({"cosine": found}).iloc[0]
    assert row["accuracy_high"] == 1
    assert 0 < row["accuracy_low"] < 0.8
    assert row["difference_high"] > 1  # a difference of differences is as it comes
