import numpy as np
import pytest
import torch
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from dymo_med.evaluation.calibration import log_odds
from dymo_med.evaluation.recalibration import (
    apply_calibration,
    compare_calibrations,
    fit_isotonic,
    fit_platt,
    fit_temperature,
)
from dymo_med.networks.calibration import Calibration, PrevalenceShift, TemperatureScaling


def overconfident(n, seed):
    """Risks whose log odds are twice too large, and shifted."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    label = rng.random(n) < 1 / (1 + np.exp(-x))
    return label, 1 / (1 + np.exp(-(2 * x + 0.7)))


def test_platt_equals_scikit_learn():
    label, risk = overconfident(400, 0)
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(log_odds(risk)[:, None], label)
    fitted = fit_platt(label, risk)
    assert fitted.slope == pytest.approx(reference.coef_.item(), abs=1e-4)
    assert fitted.intercept == pytest.approx(reference.intercept_.item(), abs=1e-4)


def test_temperature_has_the_lowest_loss():
    label, risk = overconfident(400, 1)
    fitted = fit_temperature(label, risk)
    losses = {
        t: log_loss(label, apply_calibration(Calibration((TemperatureScaling(t * fitted.temperature),)), risk))
        for t in (0.9, 1.0, 1.1)
    }
    assert min(losses, key=losses.get) == 1.0


def test_isotonic_equals_scikit_learn_but_for_its_ends():
    label, risk = overconfident(300, 2)
    fitted = fit_isotonic(label, risk)
    reference = IsotonicRegression(out_of_bounds="clip").fit(risk, label)
    new = np.linspace(0.001, 0.999, 50)
    expected = np.clip(reference.predict(new), 1 / 302, 301 / 302)
    np.testing.assert_allclose(apply_calibration(Calibration((fitted,)), new), expected, atol=2e-3)


def test_calibration_helps_on_new_subjects():
    label, risk = overconfident(3000, 3)
    calibrations = {
        "temperature": Calibration((fit_temperature(label, risk),)),
        "platt": Calibration((fit_platt(label, risk),)),
        "isotonic": Calibration((fit_isotonic(label, risk),)),
    }
    new_label, new_risk = overconfident(1500, 4)
    table = compare_calibrations(new_label, new_risk, calibrations).set_index(["calibration", "figure"])["value"]
    for name in calibrations:
        assert table[name, "brier"] < table["before", "brier"]
        assert table[name, "ici"] < table["before", "ici"]
    assert table["platt", "calibration_slope"] == pytest.approx(1, abs=0.15)
    assert table["platt", "auroc"] == pytest.approx(table["before", "auroc"], abs=1e-12)


def test_prevalence_shift_is_exact_under_a_pure_shift():
    """Balanced training, natural test prevalence: the shifted risk equals that of Bayes' rule."""
    rng = np.random.default_rng(5)
    label = rng.random(40_000) < 0.05
    x = rng.normal(size=40_000) + 1.5 * label
    balanced = 1 / (1 + np.exp(-(1.5 * x - 1.125)))  # equal classes
    shifted = apply_calibration(Calibration((PrevalenceShift((0.5, 0.5), (0.95, 0.05)),)), balanced)
    bayes = 0.05 * np.exp(1.5 * x - 1.125) / (0.05 * np.exp(1.5 * x - 1.125) + 0.95)
    np.testing.assert_allclose(shifted, bayes, atol=1e-12)
    assert shifted.mean() == pytest.approx(label.mean(), abs=0.004)
    assert balanced.mean() > 0.15


@pytest.mark.parametrize("fit", [fit_temperature, fit_platt, fit_isotonic])
def test_one_class_is_refused(fit):
    with pytest.raises(ValueError, match="of both classes, however: 3 of 3 are positive"):
        fit([1, 1, 1], [0.2, 0.3, 0.4])


@pytest.mark.parametrize("fit", [fit_temperature, fit_platt])
def test_without_a_finite_fit(fit):
    with pytest.raises(ValueError, match=r"rise with the outcome and do not separate it, however: slope=-"):
        fit([1, 1, 0, 1, 0, 0], [0.1, 0.2, 0.3, 0.6, 0.7, 0.8])
    with pytest.raises(ValueError, match="slope=nan over 4 subjects"):
        fit([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.8])


def test_equal_probabilities_have_no_curve():
    with pytest.raises(ValueError, match=r"different probabilities, however: all 4 are 0\.5"):
        fit_isotonic([0, 1, 0, 1], [0.5] * 4)


def test_table_and_network_agree():
    label, risk = overconfident(50, 6)
    calibration = Calibration((fit_platt(label, risk),))
    logits = torch.stack([torch.zeros(50), torch.from_numpy(log_odds(risk)).float()], dim=1)
    np.testing.assert_allclose(
        torch.softmax(calibration(logits), -1)[:, 1].numpy(), apply_calibration(calibration, risk), atol=1e-6
    )
