"""Against R 4.2 (glm, rms 6.5: val.prob and lrm with rcs), statsmodels and scikit-learn."""

import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.metrics import brier_score_loss
from statsmodels.nonparametric.smoothers_lowess import lowess
from statsmodels.stats.proportion import proportion_confint

from dymo_med.evaluation.calibration import (
    brier_score,
    calibration_groups,
    calibration_intercept,
    calibration_slope,
    integrated_calibration_index,
    log_odds,
    smooth_calibration,
)
from tests.evaluation.cases import LABEL, LOG_ODDS, RISK, draw

FIGURES = [brier_score, calibration_slope, calibration_intercept, integrated_calibration_index]


def test_figures_equal_those_of_r():
    assert (len(LABEL), LABEL.sum()) == (80, 37)
    assert float(brier_score(LABEL, RISK)) == pytest.approx(0.2315144244, abs=5e-11)  # val.prob
    assert float(calibration_slope(LABEL, RISK)) == pytest.approx(0.509441758, abs=5e-10)  # glm(y ~ x), val.prob
    assert float(calibration_intercept(LABEL, RISK)) == pytest.approx(-0.211305035, abs=5e-10)  # glm(y ~ offset(x))
    # mean(abs(fitted(lrm(y ~ rcs(x, quantile(x, c(.05, .35, .65, .95))))) - p))
    assert float(integrated_calibration_index(LABEL, RISK)) == pytest.approx(0.184549236, abs=5e-10)


@pytest.mark.parametrize("seed", range(3))
def test_figures_equal_statsmodels_and_scikit_learn(seed):
    label, risk = draw(150, seed)
    x = log_odds(risk)
    slope = sm.Logit(label, sm.add_constant(x)).fit(disp=0, tol=1e-12).params[1]
    assert float(calibration_slope(label, risk)) == pytest.approx(slope, abs=1e-8)
    offset = sm.GLM(label, np.ones(150), family=sm.families.Binomial(), offset=x).fit(tol=1e-12).params[0]
    assert float(calibration_intercept(label, risk)) == pytest.approx(offset, abs=1e-8)
    assert float(brier_score(label, risk)) == pytest.approx(brier_score_loss(label, risk), abs=1e-12)


@pytest.mark.parametrize("figure", FIGURES)
def test_a_weight_is_a_number_of_copies(figure):
    label, risk = draw(60, 3)
    weight = np.stack([np.ones(60), np.full(60, 2.0)])
    one, two = figure(label, risk, weight)
    assert one == pytest.approx(float(figure(label, risk)), abs=1e-9)
    assert two == pytest.approx(one, abs=1e-9)  # everybody twice changes nothing
    weight = np.random.default_rng(0).integers(1, 4, size=60)
    if figure is integrated_calibration_index:
        return  # its knots are those of the subjects, not of the copies
    copied = figure(np.repeat(label, weight), np.repeat(risk, weight))
    assert float(figure(label, risk, weight.astype(float))) == pytest.approx(float(copied), abs=1e-9)


def test_perfect_probabilities_are_calibrated():
    rng = np.random.default_rng(1)
    risk = rng.beta(1, 4, 40_000)
    label = rng.random(40_000) < risk
    assert float(calibration_slope(label, risk)) == pytest.approx(1, abs=0.05)
    assert float(calibration_intercept(label, risk)) == pytest.approx(0, abs=0.05)
    assert float(integrated_calibration_index(label, risk)) < 0.006


def test_smooth_curve_agrees_with_lowess():
    rng = np.random.default_rng(2)
    risk = rng.random(3000) * 0.8 + 0.1
    truth = risk**2
    label = rng.random(3000) < truth
    curve = smooth_calibration(label, risk)
    smoothed = lowess(label.astype(float), risk, frac=0.5, it=0, return_sorted=False)
    assert np.abs(curve - truth).max() < 0.06
    assert np.abs(curve - smoothed).mean() < 0.02


def test_extreme_probabilities_stay_finite():
    assert np.isfinite(log_odds(np.array([0.0, 1.0]))).all()
    assert log_odds(np.array([0.25]))[0] == pytest.approx(np.log(1 / 3))


def test_separated_or_single_classes_are_nan():
    risk = np.linspace(0.1, 0.9, 20)
    assert np.isnan(calibration_slope(risk > 0.5, risk))
    assert np.isnan(smooth_calibration(risk > 0.5, risk)).all()
    assert np.isnan(calibration_slope(np.ones(20, dtype=bool), risk))
    assert np.isnan(calibration_intercept(np.ones(20, dtype=bool), risk))
    assert np.isnan(calibration_slope(risk > 0.5, np.full(20, 0.4)))  # nothing to regress on
    assert np.isnan(integrated_calibration_index(np.arange(20) % 2 == 0, np.full(20, 0.4)))
    mixed = calibration_slope(np.arange(20) % 3 == 0, risk, np.stack([np.ones(20), (np.arange(20) % 3 == 0) * 1.0]))
    assert np.isfinite(mixed[0])
    assert np.isnan(mixed[1])  # one failure leaves the others alone


def test_groups_cover_everybody_once():
    label, risk = draw(103, 4, ties=True)
    groups = calibration_groups(label, risk, n_groups=5)
    assert groups["n"].sum() == 103
    assert groups["n_positive"].sum() == label.sum()
    assert (groups["predicted"] * groups["n"]).sum() == pytest.approx(risk.sum())
    assert groups["predicted"].is_monotonic_increasing
    for row in groups.itertuples():
        low, high = proportion_confint(row.n_positive, row.n, method="wilson")
        assert (row.observed_low, row.observed_high) == (pytest.approx(low), pytest.approx(high))
    with pytest.raises(ValueError, match=r"n_groups must be a positive integer, however: n_groups=0"):
        calibration_groups(label, risk, n_groups=0)


def test_equal_probabilities_share_a_group():
    groups = calibration_groups(np.arange(10) < 3, np.array([0.1] * 6 + [0.7] * 4), n_groups=5)
    assert groups["predicted"].tolist() == pytest.approx([0.1, 0.7])


def test_log_odds_are_those_of_the_case():
    np.testing.assert_allclose(log_odds(RISK), LOG_ODDS, atol=1e-12)
