import numpy as np
import pytest

from dymo_med.evaluation import bootstrap
from dymo_med.evaluation.bootstrap import bootstrap_interval, resampled_counts
from dymo_med.evaluation.calibration import brier_score
from dymo_med.evaluation.classification import average_precision
from tests.evaluation.cases import draw


def test_classes_keep_their_size(monkeypatch):
    label, _ = draw(50, 0)
    whole = np.concatenate(list(resampled_counts(label, 30, seed=3)))
    assert (whole[:, label].sum(axis=1) == label.sum()).all()
    assert (whole[:, ~label].sum(axis=1) == (~label).sum()).all()
    assert len(np.unique(whole, axis=0)) == 30
    monkeypatch.setattr(bootstrap, "CELLS_AT_ONCE", 50 * 7)
    blocks = list(resampled_counts(label, 30, seed=3))
    assert [len(block) for block in blocks] == [7, 7, 7, 7, 2]
    assert (np.concatenate(blocks).sum(axis=1) == 50).all()


def test_draws_are_uniform():
    counts = np.concatenate(list(resampled_counts(np.arange(6) < 2, 4000, seed=0)))
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.06)
    np.testing.assert_allclose(counts[:, 2:].var(axis=0), 0.75, atol=0.06)  # n * 1/4 * 3/4


def test_interval_equals_a_plain_bootstrap():
    label, risk = draw(200, 1)
    low, high = bootstrap_interval(brier_score, label, risk, n_resamples=2000, seed=1)
    rng = np.random.default_rng(0)
    positive, negative = np.flatnonzero(label), np.flatnonzero(~label)
    scores = []
    for _ in range(2000):
        chosen = np.concatenate([rng.choice(positive, len(positive)), rng.choice(negative, len(negative))])
        scores.append(((risk[chosen] - label[chosen]) ** 2).mean())
    expected = np.quantile(scores, [0.025, 0.975])
    assert (low, high) == (pytest.approx(expected[0], abs=0.003), pytest.approx(expected[1], abs=0.003))


def test_interval_covers_the_truth():
    truth = 1 / 6  # mean squared error of risks that are right: the mean of p (1 - p) over uniform p
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        risk = rng.random(150)
        label = rng.random(150) < risk
        low, high = bootstrap_interval(brier_score, label, risk, n_resamples=200, seed=seed)
        covered += low <= truth <= high
    assert covered / 200 == pytest.approx(0.95, abs=0.05)


def test_same_seed_same_interval():
    label, risk = draw(60, 2)
    first, again, other = (
        bootstrap_interval(average_precision, label, risk, n_resamples=50, seed=s) for s in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_order_of_subjects_hardly_matters():
    label, risk = draw(300, 5)
    first = bootstrap_interval(average_precision, label, risk, n_resamples=1000)
    second = bootstrap_interval(average_precision, label[::-1].copy(), risk[::-1].copy(), n_resamples=1000)
    np.testing.assert_allclose(first, second, atol=0.02)


def test_undefined_intervals_are_nan():
    label, risk = np.array([True, False, False]), np.array([0.5, 0.2, 0.9])
    assert np.isnan(bootstrap_interval(brier_score, label, risk)).all()

    def often_undefined(is_positive, probability, weight):
        return np.where(np.arange(len(weight)) % 10 == 0, np.nan, 1.0)

    label, risk = draw(40, 0)
    assert np.isnan(bootstrap_interval(often_undefined, label, risk, n_resamples=100)).all()

    def seldom_undefined(is_positive, probability, weight):
        return np.where(np.arange(len(weight)) % 50 == 0, np.nan, 1.0)

    assert bootstrap_interval(seldom_undefined, label, risk, n_resamples=100) == (1.0, 1.0)


def test_refusals():
    with pytest.raises(ValueError, match=r"n_resamples must be a positive integer, however: n_resamples=0"):
        next(resampled_counts(np.array([True, False]), 0, seed=0))
