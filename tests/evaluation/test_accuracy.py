import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from dymo_med.evaluation import compare_accuracy, write_accuracy

CLASSES = ["ant", "bee", "cat"]


def predictions(seed=0, n=40, strategies=("discard", "greedy"), pattern="eta 0.8"):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, n)
    tables = []
    for strategy in strategies:
        probs = rng.dirichlet(np.ones(3), n)
        probs[np.arange(n), label] += 0.4 if strategy == "greedy" else 0.2
        probs /= probs.sum(1, keepdims=True)
        table = pd.DataFrame(probs, columns=[f"probability_{name}" for name in CLASSES])
        table["predicted_class"] = [CLASSES[index] for index in probs.argmax(1)]
        fused = ["" if index % 2 else "m0 by mopoe; m1 by mopoe" for index in range(n)]
        table["fused"] = fused if strategy == "greedy" else ""
        tables.append(table.assign(strategy=strategy, label=label, subject_id=[f"s{index}" for index in range(n)]))
    return pd.concat(tables, ignore_index=True).assign(pattern=pattern)


def test_figures_are_those_of_a_loop():
    table = predictions()
    found = compare_accuracy(table, CLASSES).set_index("strategy")
    right = {}
    for strategy in ("discard", "greedy"):
        rows = table[table["strategy"] == strategy].to_dict("records")
        right[strategy] = [CLASSES[row["label"]] == row["predicted_class"] for row in rows]
        loss = [-np.log(row[f"probability_{CLASSES[row['label']]}"]) for row in rows]
        row = found.loc[strategy]
        assert row["n"] == 40
        assert row["accuracy"] == pytest.approx(np.mean(right[strategy]))
        assert row["cross_entropy"] == pytest.approx(np.mean(loss))
        assert row["mean_fused"] == (1.0 if strategy == "greedy" else 0.0)
        p, z = row["accuracy"], norm.ppf(0.975)  # Wilson
        center, half = p + z**2 / 80, z * np.sqrt(p * (1 - p) / 40 + z**2 / 6400)
        assert row["accuracy_low"] == pytest.approx((center - half) / (1 + z**2 / 40))
        assert row["accuracy_high"] == pytest.approx((center + half) / (1 + z**2 / 40))
    each = np.array(right["greedy"], float) - np.array(right["discard"], float)
    half = norm.ppf(0.975) * each.std() / np.sqrt(40)
    assert found.loc["greedy", "difference"] == pytest.approx(each.mean())
    assert found.loc["greedy", "difference_low"] == pytest.approx(each.mean() - half)
    assert found.loc["greedy", "difference_high"] == pytest.approx(each.mean() + half)
    assert np.isnan(found.loc["discard", ["difference", "difference_low", "difference_high", "p_value"]]).all()


def test_mcnemar_by_hand():
    table = predictions(n=8)
    first = table["strategy"] == "discard"
    table.loc[first, "predicted_class"] = [CLASSES[label] for label in table.loc[first, "label"]]
    wrong = [CLASSES[(label + 1) % 3] for label in table.loc[~first, "label"]]
    table.loc[~first, "predicted_class"] = [*wrong[:6], *table.loc[first, "predicted_class"][6:]]
    found = compare_accuracy(table, CLASSES).set_index("strategy").loc["greedy"]
    assert found["difference"] == -0.75
    assert found["p_value"] == pytest.approx(2 * 0.5**6)


def test_no_difference_has_p_one():
    table = predictions()
    same = pd.concat([table[:40], table[:40].assign(strategy="greedy")])
    assert compare_accuracy(same, CLASSES)["p_value"].tolist()[1] == 1.0


def test_order_of_rows_changes_nothing_and_patterns_stand_apart():
    table = pd.concat([predictions(1), predictions(2, pattern="eta 0.2")])
    found = compare_accuracy(table, CLASSES)
    assert found["pattern"].tolist() == ["eta 0.8"] * 2 + ["eta 0.2"] * 2
    shuffled = table.sample(frac=1, random_state=0)
    keys = ["pattern", "strategy"]
    again = compare_accuracy(shuffled, CLASSES).set_index(keys).loc[found[keys].to_records(index=False).tolist()]
    pd.testing.assert_frame_equal(again, found.set_index(keys))


def test_without_discard_there_is_no_difference():
    found = compare_accuracy(predictions(strategies=("moddrop",)), CLASSES)
    assert found["difference"].isna().all()


def test_files_are_written_and_read(tmp_path):
    table = predictions()
    table.to_csv(tmp_path / "predictions.csv", index=False)
    found = write_accuracy(tmp_path / "predictions.csv", tmp_path / "out", CLASSES)
    pd.testing.assert_frame_equal(found, compare_accuracy(table, CLASSES))
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out" / "accuracy.csv"), found)
    assert "greedy" in (tmp_path / "out" / "accuracy.txt").read_text()
    with pytest.raises(FileNotFoundError, match=r"no predictions at .*: evaluate the bundle first"):
        write_accuracy(tmp_path / "none.csv", tmp_path, CLASSES)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (
            lambda t: t.drop(columns=["fused", "probability_cat"]),
            KeyError,
            r"\['fused', 'probability_cat'\] are absent",
        ),
        (lambda t: t[:0], ValueError, "at least one row, however: 0"),
        (lambda t: t.assign(label=3), ValueError, "label must be an index of a class of .* not in 80 rows, first 3"),
        (lambda t: t.assign(predicted_class=""), ValueError, "predicted_class must be the name .* 80 rows, first ''"),
        (lambda t: pd.concat([t, t[:2]]), ValueError, "2 rows repeat one: keep a single run"),
        (lambda t: t[1:], ValueError, "1 subjects of pattern 'eta 0.8' are in only one of"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, error, match):
    with pytest.raises(error, match=match):
        compare_accuracy(change(predictions()), CLASSES)
