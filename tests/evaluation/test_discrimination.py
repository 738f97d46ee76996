import math
import warnings

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from dymo_med.evaluation.discrimination import auroc_interval, paired_auroc_test
from tests.evaluation.cases import LABEL, LOG_ODDS, OTHER_LOG_ODDS


def draw(n, seed, shift=1.0, ties=False):
    """Labels and two correlated scores."""
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < 0.3).astype(int)
    common = rng.normal(size=n) + shift * label
    a, b = common + rng.normal(size=n), common + 2 * rng.normal(size=n)
    return (label, a.round(), b.round()) if ties else (label, a, b)


def components(label, scores):
    """Areas and covariance by the definition: every pair of a positive and a negative is compared."""
    positive, negative = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    areas, v10, v01 = [], [], []
    for score in scores:
        psi = np.zeros((len(positive), len(negative)))
        for i, p in enumerate(positive):
            for j, q in enumerate(negative):
                psi[i, j] = 1.0 if score[p] > score[q] else 0.5 if score[p] == score[q] else 0.0
        areas.append(psi.mean())
        v10.append(psi.mean(axis=1))
        v01.append(psi.mean(axis=0))
    covariance = np.zeros((len(scores), len(scores)))
    for r in range(len(scores)):
        for s in range(len(scores)):
            for v, m in ((v10, len(positive)), (v01, len(negative))):
                covariance[r, s] += ((v[r] - areas[r]) * (v[s] - areas[s])).sum() / (m - 1) / m
    return areas, covariance


def logit(p):
    return math.log(p / (1 - p))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_interval_equals_the_definition(seed, ties):
    label, a, _ = draw(70, seed, ties=ties)
    estimate = auroc_interval(label, a, level=0.9)
    areas, covariance = components(label, [a])
    assert estimate.value == pytest.approx(roc_auc_score(label, a), abs=1e-12)
    assert estimate.value == pytest.approx(areas[0], abs=1e-12)
    assert (estimate.n, estimate.n_positive) == (70, label.sum())
    half = norm.ppf(0.95) * math.sqrt(covariance[0, 0]) / (areas[0] * (1 - areas[0]))
    assert logit(estimate.high) == pytest.approx(logit(areas[0]) + half, abs=1e-9)
    assert logit(estimate.low) == pytest.approx(logit(areas[0]) - half, abs=1e-9)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_paired_test_equals_the_definition(seed, ties):
    label, a, b = draw(70, seed, ties=ties)
    result = paired_auroc_test(label, a, b)
    areas, covariance = components(label, [a, b])
    error = math.sqrt(covariance[0, 0] + covariance[1, 1] - covariance[0, 1] - covariance[1, 0])
    difference = areas[0] - areas[1]
    assert result.difference == pytest.approx(difference, abs=1e-12)
    assert result.high - result.low == pytest.approx(2 * 1.959963985 * error, abs=1e-9)
    assert result.low + result.high == pytest.approx(2 * difference, abs=1e-9)
    assert result.p_value == pytest.approx(math.erfc(abs(difference) / error / math.sqrt(2)), abs=1e-9)
    swapped = paired_auroc_test(label, b, a)
    assert swapped.difference == pytest.approx(-difference, abs=1e-12)
    assert swapped.p_value == pytest.approx(result.p_value, abs=1e-9)


def test_published_ratings():
    """Ratings of 109 scans in five classes (Hanley and McNeil, Radiology 1982;143:29-36): area 0.893, error 0.03."""
    normal, abnormal = [33, 6, 6, 11, 2], [3, 2, 2, 11, 33]
    score = np.concatenate([np.repeat(range(1, 6), normal), np.repeat(range(1, 6), abnormal)])
    label = np.repeat([0, 1], [sum(normal), sum(abnormal)])
    estimate = auroc_interval(label, score)
    assert (estimate.n, estimate.n_positive) == (109, 51)
    assert round(estimate.value, 3) == 0.893
    error = (logit(estimate.high) - logit(estimate.low)) / 2 / 1.96 * estimate.value * (1 - estimate.value)
    assert error == pytest.approx(0.032, abs=0.002)


def test_agrees_with_the_bootstrap():
    label, a, b = draw(400, 5)
    rng = np.random.default_rng(0)
    positive, negative = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    areas = []
    for _ in range(400):
        chosen = np.concatenate([rng.choice(positive, len(positive)), rng.choice(negative, len(negative))])
        areas.append([roc_auc_score(label[chosen], score[chosen]) for score in (a, b)])
    areas = np.array(areas)
    estimate, pair = auroc_interval(label, a), paired_auroc_test(label, a, b)
    width = np.subtract(*np.quantile(areas[:, 0], [0.975, 0.025]))
    assert estimate.high - estimate.low == pytest.approx(width, rel=0.15)
    width = np.subtract(*np.quantile(areas[:, 0] - areas[:, 1], [0.975, 0.025]))
    assert pair.high - pair.low == pytest.approx(width, rel=0.15)


def test_interval_covers_and_the_test_keeps_its_level():
    covered, rejected, n_runs = 0, 0, 300
    truth = norm.cdf(2.0 / math.sqrt(2))  # one unit-variance normal shifted by 2
    for seed in range(n_runs):
        rng = np.random.default_rng(seed)
        label = np.repeat([0, 1], [60, 30])
        shared = rng.normal(size=90) * math.sqrt(0.5) + 2 * label
        a, b = (shared + math.sqrt(0.5) * rng.normal(size=90) for _ in range(2))
        estimate = auroc_interval(label, a)
        covered += estimate.low <= truth <= estimate.high
        rejected += paired_auroc_test(label, a, b).p_value < 0.05
    assert covered / n_runs == pytest.approx(0.95, abs=0.035)
    assert rejected / n_runs == pytest.approx(0.05, abs=0.035)


def test_monotone_transformations_change_nothing():
    label, a, b = draw(80, 6)
    assert auroc_interval(label, a) == auroc_interval(label.astype(bool), 1 / (1 + np.exp(-a)))
    assert paired_auroc_test(label, a, np.exp(a)).p_value == 1.0
    assert paired_auroc_test(label, a, b) == paired_auroc_test(list(label), list(np.exp(a)), list(b))


@pytest.mark.parametrize(("score", "value"), [([0, 1, 2, 3], 1.0), ([3, 2, 1, 0], 0.0)])
def test_perfect_separation_has_no_interval(score, value):
    estimate = auroc_interval([0, 0, 1, 1], score)
    assert estimate.value == value
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)


def test_one_subject_in_a_class_has_no_interval():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimate = auroc_interval([0, 0, 1], [0.1, 0.9, 0.5])
        pair = paired_auroc_test([0, 0, 1], [0.1, 0.9, 0.5], [0.1, 0.2, 0.5])
    assert estimate.value == 0.5
    assert math.isnan(estimate.low)
    assert pair.difference == -0.5
    assert math.isnan(pair.p_value)


def test_opposite_perfect_scores_have_no_p_value():
    pair = paired_auroc_test([0, 0, 1, 1], [0, 1, 2, 3], [3, 2, 1, 0])
    assert pair.difference == 1.0
    assert math.isnan(pair.p_value)


@pytest.mark.parametrize(("label", "counts"), [([1, 1], "2 positive and 0"), ([0], "0 positive and 1"), ([], "0 .* 0")])
def test_one_class_warns(label, counts):
    score = np.zeros(len(label))
    with pytest.warns(UserWarning, match=f"needs both classes, however: {counts}.*nan"):
        estimate = auroc_interval(label, score)
    assert math.isnan(estimate.value)
    assert (estimate.n, estimate.n_positive) == (len(label), sum(label))
    with pytest.warns(UserWarning, match=counts):
        assert math.isnan(paired_auroc_test(label, score, score).p_value)


@pytest.mark.parametrize(
    ("label", "score", "level", "text"),
    [
        ([0, 1, 1], [0.1, np.nan, np.nan], 0.95, "score must not be nan, however: 2 of 3 are"),
        ([0, 1], [0.1], 0.95, r"score must have one value a label, however: \(1,\) for \(2,\) labels"),
        ([0, 2], [0.1, 0.2], 0.95, "labels must be 0 or 1, however: label also holds 2"),
        ([0, None, 1], [0.1, 0.2, 0.3], 0.95, "labels must be 0 or 1, however: 1 of 3 are empty: leave out"),
        ([0, np.nan, 1], [0.1, 0.2, 0.3], 0.95, "labels must be 0 or 1, however: 1 of 3 are empty: leave out"),
        ([[0, 1]], [[0.1, 0.2]], 0.95, r"label must have shape \(N,\).*\(1, 2\)"),
        ([0, 1], [0.1, 0.2], 95, "level must be between 0 and 1.*95"),
    ],
)
def test_refusals(label, score, level, text):
    with pytest.raises(ValueError, match=text):
        auroc_interval(label, score, level=level)


def test_paired_refusal_names_the_score():
    with pytest.raises(ValueError, match="score_b must not be nan, however: 1 of 2"):
        paired_auroc_test([0, 1], [0.1, 0.2], [0.1, np.nan])


def test_equals_proc_of_r():
    """Variance, test and interval of pROC 1.18 (R 4.2): ci.auc and roc.test, method "delong"."""
    estimate = auroc_interval(LABEL, LOG_ODDS)
    assert estimate.value == pytest.approx(0.729101194, abs=5e-10)
    half = norm.ppf(0.975) * math.sqrt(0.00343515135) / (estimate.value * (1 - estimate.value))
    assert logit(estimate.high) - logit(estimate.value) == pytest.approx(half, rel=1e-8)
    result = paired_auroc_test(LABEL, LOG_ODDS, OTHER_LOG_ODDS)
    assert result.difference == pytest.approx(0.729101194 - 0.703959774, abs=1e-9)
    assert (result.low, result.high) == (pytest.approx(-0.0732898881), pytest.approx(0.1235727291))
    assert result.p_value == pytest.approx(0.616641466, abs=5e-10)


def test_repeated_scores_give_the_mean_area():
    label, a, b = draw(90, 3)
    _, c, d = draw(90, 3, shift=0.5)
    areas, covariance = components(label, [a, b, c, d])
    estimate = auroc_interval(label, [a, b])
    assert estimate.value == pytest.approx((areas[0] + areas[1]) / 2, abs=1e-12)
    contrast = np.array([0.5, 0.5, 0, 0])
    half = norm.ppf(0.975) * math.sqrt(contrast @ covariance @ contrast) / (estimate.value * (1 - estimate.value))
    assert logit(estimate.high) - logit(estimate.value) == pytest.approx(half, rel=1e-8)
    result = paired_auroc_test(label, [a, b], [c, d])
    contrast = np.array([0.5, 0.5, -0.5, -0.5])
    assert result.difference == pytest.approx(contrast @ areas, abs=1e-12)
    error = math.sqrt(contrast @ covariance @ contrast)
    assert result.p_value == pytest.approx(math.erfc(abs(result.difference) / error / math.sqrt(2)), abs=1e-9)
    once = auroc_interval(label, a)
    assert auroc_interval(label, [a, a, a]).low == pytest.approx(once.low, abs=1e-12)  # copies add nothing
