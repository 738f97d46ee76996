"""Pre-training losses of TIP against NumPy and SciPy."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from dymo_med.losses import TIPLoss

CARDINALITIES, N_NUMBERS, B, D = [2, 3], 2, 5, 4


@pytest.fixture
def prediction():
    rng = np.random.default_rng(1)

    def unit(x):
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    codes = [rng.integers(0, cardinality, B) for cardinality in CARDINALITIES]
    return {
        "image_projection": unit(rng.normal(size=(B, D))),
        "table_projection": unit(rng.normal(size=(B, D))),
        "match_logits": rng.normal(size=(3 * B, 2)),
        "cat_logits": rng.normal(size=(B, 2, sum(CARDINALITIES))),
        "num_values": rng.normal(size=(B, N_NUMBERS)),
        "table": np.column_stack([*codes, rng.normal(size=(B, N_NUMBERS))]).astype(float),
        "scored": rng.random((B, 2 + N_NUMBERS)) < 0.5,
    }


def tensors(prediction):
    return {name: torch.as_tensor(value) for name, value in prediction.items()}


def expected_itc(p, t=0.1):
    scores = p["image_projection"] @ p["table_projection"].T / t
    per_image = [-log_softmax(scores[i])[i] for i in range(B)]
    per_table = [-log_softmax(scores[:, i])[i] for i in range(B)]
    return 0.5 * np.mean(per_image) + 0.5 * np.mean(per_table)


def expected_itm(p):
    return np.mean([-log_softmax(row)[1 if i < B else 0] for i, row in enumerate(p["match_logits"])])


def expected_mtr(p):
    categorical, squared = [], []
    for i in range(B):
        for column in range(2 + N_NUMBERS):
            if not p["scored"][i, column]:
                continue
            if column < 2:
                place = int(p["table"][i, column]) + sum(CARDINALITIES[:column])
                categorical.append(-log_softmax(p["cat_logits"][i, column])[place])
            else:
                squared.append((p["num_values"][i, column - 2] - p["table"][i, column]) ** 2)
    return 0.5 * (np.mean(categorical) if categorical else 0) + 0.5 * (np.mean(squared) if squared else 0)


def test_three_terms_and_their_mean(prediction):
    loss = TIPLoss(CARDINALITIES)
    terms = {name: float(value) for name, value in loss.terms(tensors(prediction)).items()}
    wanted = {"itc": expected_itc(prediction), "itm": expected_itm(prediction), "mtr": expected_mtr(prediction)}
    assert terms == pytest.approx(wanted, rel=1e-12)
    assert float(loss(tensors(prediction))) == pytest.approx(np.mean(list(wanted.values())), rel=1e-12)


def test_label_changes_nothing(prediction):
    loss = TIPLoss(CARDINALITIES)
    assert torch.equal(loss(tensors(prediction)), loss(tensors(prediction), torch.arange(B)))


@pytest.mark.parametrize("kind", ["categorical", "numbers", "nothing"])
def test_batches_that_hide_one_kind_only(prediction, kind):
    prediction["scored"][:] = False
    if kind == "categorical":
        prediction["scored"][:, :2] = True
    if kind == "numbers":
        prediction["scored"][:, 2:] = True
    found = float(TIPLoss(CARDINALITIES).terms(tensors(prediction))["mtr"])
    assert found == pytest.approx(expected_mtr(prediction), abs=1e-12)


def test_cells_that_are_not_scored_are_not_read(prediction):
    loss = TIPLoss(CARDINALITIES)
    reference = loss(tensors(prediction))
    prediction["table"][~prediction["scored"]] = np.nan
    assert torch.equal(loss(tensors(prediction)), reference)


def test_temperature(prediction):
    found = float(TIPLoss(CARDINALITIES, temperature=0.5).terms(tensors(prediction))["itc"])
    assert found == pytest.approx(expected_itc(prediction, t=0.5), rel=1e-12)
    with pytest.raises(ValueError, match=r"temperature must be positive and finite, however: temperature=-1"):
        TIPLoss(CARDINALITIES, temperature=-1)
