import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from dymo_med.evaluation.importance import rank_columns
from tests.evaluation.sweep.conftest import batches, network, subjects  # noqa: F401
from tests.networks.build import count_passes


@pytest.fixture(scope="module")
def everybody():
    return subjects(30, seed=4)


def test_equals_a_plain_computation(network, everybody):  # noqa: F811
    found = rank_columns(network, batches(everybody, 9), seed=5, at_once=8).set_index("column")["loss"]
    seen = torch.arange(30) < 29  # the last subject has nothing
    label = everybody["label"][seen].numpy()
    inputs = {name: everybody[name][seen] for name in ("image", "table", "image_missing", "table_missing")}

    def area(inputs):
        with torch.no_grad():
            logits = network(**inputs)
        return roc_auc_score(label, (logits[:, 1] - logits[:, 0]).numpy())

    rng = np.random.default_rng(5)
    for column in range(3):
        order = torch.from_numpy(rng.permutation(29))
        changed = inputs | {"table": inputs["table"].clone(), "table_missing": inputs["table_missing"].clone()}
        changed["table"][:, column] = inputs["table"][order, column]
        changed["table_missing"][:, column] = inputs["table_missing"][order, column]
        assert found[column] == pytest.approx(area(inputs) - area(changed), abs=1e-12)


def test_most_important_first_and_images_encoded_once(network, everybody):  # noqa: F811
    images = count_passes(network.encoders["image"])
    table = rank_columns(network, batches(everybody, 9), n_repeats=2)
    assert table["loss"].is_monotonic_decreasing
    assert sorted(table["column"]) == list(range(8))
    assert sum(images) == int((~everybody["image_missing"]).sum())


def test_refusals(network, everybody):  # noqa: F811
    with pytest.raises(KeyError, match=r"one of \['image', 'table'\], however: 'ecg'"):
        rank_columns(network, [], "ecg")
    healthy = everybody | {"label": torch.zeros(30, dtype=torch.int64)}
    with pytest.raises(ValueError, match=r"needs both classes, however: labels are \[0\]"):
        rank_columns(network, batches(healthy, 9))
    unlabeled = [{name: value for name, value in batch.items() if name != "label"} for batch in batches(everybody, 9)]
    with pytest.raises(KeyError, match="importance needs 'label' of every subject"):
        rank_columns(network, unlabeled)
    with pytest.raises(ValueError, match="n_repeats must be a positive integer, however: n_repeats=0"):
        rank_columns(network, [], n_repeats=0)
