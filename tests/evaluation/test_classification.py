import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_curve

from dymo_med.evaluation.classification import average_precision, balanced_accuracy, sensitivity_at_specificity
from tests.evaluation.cases import draw


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_figures_equal_scikit_learn(seed, ties):
    label, risk = draw(70, seed, ties=ties)
    assert float(average_precision(label, risk)) == pytest.approx(average_precision_score(label, risk), abs=1e-12)
    for threshold in (0.2, 0.5, 0.7):
        expected = balanced_accuracy_score(label, risk >= threshold)
        assert float(balanced_accuracy(label, risk, threshold=threshold)) == pytest.approx(expected, abs=1e-12)
    false_rate, true_rate, _ = roc_curve(label, risk, drop_intermediate=False)
    for specificity in (0.0, 0.5, 0.9, 1.0):
        expected = true_rate[false_rate <= 1 - specificity + 1e-12].max()
        found = sensitivity_at_specificity(label, risk, specificity=specificity)
        assert float(found) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("figure", [average_precision, balanced_accuracy, sensitivity_at_specificity])
def test_a_weight_is_a_number_of_copies(figure):
    label, risk = draw(40, 7, ties=True)
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 4, size=(5, 40)).astype(float)
    found = figure(label, risk, weight)
    assert found.shape == (5,)
    for row, counts in enumerate(weight.astype(int)):
        copied = figure(np.repeat(label, counts), np.repeat(risk, counts))
        assert found[row] == pytest.approx(float(copied), abs=1e-12)


def test_specificity_is_reached_despite_rounding():
    label = np.repeat([False, True], [10, 1])
    risk = np.append(np.linspace(0, 0.9, 10), 0.85)
    assert float(sensitivity_at_specificity(label, risk, specificity=0.9)) == 1.0  # one alarm in ten is allowed


@pytest.mark.parametrize(("label", "undefined"), [([True, True], 2), ([False, False], 3)])
def test_one_class_is_nan(label, undefined):
    label, risk = np.array(label), np.array([0.2, 0.8])
    values = [
        float(figure(label, risk)) for figure in (sensitivity_at_specificity, balanced_accuracy, average_precision)
    ]
    assert np.isnan(values).sum() == undefined  # without negatives precision is still defined
    assert np.isnan(values[:2]).all()


def test_options_out_of_range():
    label, risk = draw(10, 0)
    with pytest.raises(ValueError, match=r"specificity must be between 0 and 1, however: specificity=1\.5"):
        sensitivity_at_specificity(label, risk, specificity=1.5)
    with pytest.raises(ValueError, match=r"threshold must be between 0 and 1, however: threshold=-1"):
        balanced_accuracy(label, risk, threshold=-1)
