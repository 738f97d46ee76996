import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from dymo_med.evaluation import compare_strategies
from dymo_med.evaluation.reference_models import modality_alone, table_references
from dymo_med.tabular import TabularSchema
from dymo_med.tabular.column import Column
from tests.evaluation.sweep.conftest import batches, network, subjects  # noqa: F401

SCHEMA = TabularSchema(
    (
        Column(name="sex", kind="categorical", categories=("f", "m")),
        Column(name="site", kind="categorical", categories=("a", "b", "c")),
        Column(name="age_years", kind="continuous", mean=60.0, std=8.0),
        Column(name="chol", kind="continuous", mean=5.0, std=1.0),
    )
)


def items(n, seed, gaps=0.1):
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < 0.4).astype(int)
    values = np.column_stack([rng.integers(0, 2, n), rng.integers(0, 3, n), rng.normal(size=(n, 2))])
    values[:, 2] += label
    values[:, 3] += 2 * label
    missing = rng.random((n, 4)) < gaps
    return [
        {
            "subject_id": f"s{i}",
            "table": values[i].astype(np.float32),
            "table_missing": missing[i],
            "label": int(label[i]),
        }
        for i in range(n)
    ]


def test_models_rank_as_they_should():
    table = table_references(items(400, 0), items(300, 1), SCHEMA, basic_columns=["sex", "age_years"])
    names = ["sex and age_years", "table, logistic regression", "table, gradient boosting"]
    assert table["strategy"].unique().tolist() == names
    areas = compare_strategies(table[table["subject_id"].isin(_in_all(table))]).set_index("strategy")["auroc"]
    assert 0.65 < areas[names[0]] < areas[names[1]]
    assert areas[names[2]] > 0.85


def _in_all(table):
    counts = table.groupby("subject_id").size()
    return counts.index[counts == 3]


def test_logistic_models_equal_plain_ones_without_gaps():
    train, test = items(200, 2, gaps=0), items(100, 3, gaps=0)
    table = table_references(train, test, SCHEMA, basic_columns=["sex", "age_years"])
    x, y = np.stack([item["table"] for item in train]), [item["label"] for item in train]
    new = np.stack([item["table"] for item in test])
    basic = (
        LogisticRegression(C=np.inf, max_iter=5000, tol=1e-8).fit(x[:, [0, 2]], y).predict_proba(new[:, [0, 2]])[:, 1]
    )
    found = table[table["strategy"] == "sex and age_years"]["probability"]
    np.testing.assert_allclose(found, basic, atol=2e-3)
    boosting = HistGradientBoostingClassifier(categorical_features=[0, 1], random_state=0).fit(x.astype(float), y)
    found = table[table["strategy"] == "table, gradient boosting"]["probability"]
    np.testing.assert_allclose(found, boosting.predict_proba(new.astype(float))[:, 1], atol=1e-12)


def test_content_of_missing_cells_is_not_read():
    train, test = items(200, 4), items(50, 5)
    first = table_references(train, test, SCHEMA, basic_columns=["sex"])
    for item in (*train, *test):
        item["table"] = np.where(item["table_missing"], np.float32(1e6), item["table"])
    second = table_references(train, test, SCHEMA, basic_columns=["sex"])
    np.testing.assert_array_equal(first["probability"], second["probability"])


def test_labels_of_test_subjects_do_not_matter():
    train, test = items(100, 6), items(30, 7)
    first = table_references(train, test, SCHEMA, basic_columns=["sex"])
    turned = [item | {"label": 1 - item["label"]} for item in test]
    second = table_references(train, turned, SCHEMA, basic_columns=["sex"])
    np.testing.assert_array_equal(first["probability"], second["probability"])


def test_subjects_without_the_columns_have_no_row():
    test = items(20, 8, gaps=0)
    test[0] |= {"table": None, "table_missing": None}
    test[1]["table_missing"][:1] = True
    table = table_references(items(100, 9), test, SCHEMA, basic_columns=["sex"])
    per_model = table.groupby("strategy")["subject_id"].apply(set)
    assert not {"s0", "s1"} & per_model["sex"]
    assert "s1" in per_model["table, logistic regression"]
    assert "s0" not in per_model["table, logistic regression"]


def test_one_modality_of_the_network(network):  # noqa: F811
    everybody = subjects(20, seed=6)
    table = modality_alone(network, batches(everybody, 7), "image")
    there = ~everybody["image_missing"]
    assert table["subject_id"].tolist() == [
        name for name, is_there in zip(everybody["subject_id"], there.tolist(), strict=True) if is_there
    ]
    with torch.no_grad():
        logits = network(everybody["image"][there])
    np.testing.assert_allclose(table["probability"], torch.softmax(logits.double(), -1)[:, 1], atol=1e-6)
    assert set(table["strategy"]) == {"image alone"}
    assert 0 <= roc_auc_score(table["label"], table["probability"]) <= 1
    with pytest.raises(KeyError, match=r"one of \['image', 'table'\], however: 'ecg'"):
        modality_alone(network, [], "ecg")


def test_refusals():
    train = items(30, 0)
    with pytest.raises(ValueError, match=r"must be of the table, however: \['weight'\]"):
        table_references(train, train, SCHEMA, basic_columns=["weight"])
    with pytest.raises(ValueError, match="must be of the table, however: none given"):
        table_references(train, train, SCHEMA, basic_columns=[])
    with pytest.raises(ValueError, match="two classes, however: 30 training subjects have one"):
        table_references([item | {"label": 0} for item in train], train, SCHEMA, basic_columns=["sex"])
    unlabeled = [{name: value for name, value in item.items() if name != "label"} for item in train]
    with pytest.raises(ValueError, match="test subjects need labels, however: 30 of 30 have none"):
        table_references(train, unlabeled, SCHEMA, basic_columns=["sex"])
