"""Class statistics, confidence, similarity and weights against obvious implementations."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from dymo_med.missingness.subsets import enumerate_subsets
from dymo_med.selection import (
    ClassStatistics,
    class_scores,
    confidence,
    ics_weight_of,
    intra_class_similarity,
    normalize,
    radial_distance,
    reward,
)
from dymo_med.utils import ICSWeight, Metric
from tests.selection import oracle

METRICS = list(Metric)


def embeddings(n_modalities: int, metric: Metric, n: int = 60, dim: int = 6, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(n) % 3
    z = torch.randn(len(enumerate_subsets(n_modalities)), n, dim, generator=generator) + label[:, None] * 2.0
    return normalize(z, metric), label


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_modalities", [1, 2, 3])
def test_fit_in_one_pass_equals_two_passes(n_modalities, metric):
    z, label = embeddings(n_modalities, metric)
    statistics = ClassStatistics(n_modalities, 3, 6, metric)
    moments = statistics.new_moments()
    for start in range(0, 60, 7):  # uneven batches
        for subset in range(len(z)):
            moments.update(subset, z[subset, start : start + 7], label[start : start + 7])
    statistics.fit(moments)
    by_subset = dict(zip(oracle.subsets_of(n_modalities), z.double().numpy(), strict=True))
    want = oracle.fit_statistics(by_subset, label.tolist(), 3, metric.value)
    np.testing.assert_allclose(statistics.prototypes, want.prototypes, atol=1e-6)
    np.testing.assert_allclose(statistics.std, want.std, atol=1e-6)
    np.testing.assert_allclose(statistics.overall, want.overall, atol=1e-6)
    assert bool(statistics.is_fitted)


def test_moments_of_two_processes_add_up():
    z, label = embeddings(2, Metric.COSINE)
    whole, left, right = (ClassStatistics(2, 3, 6, Metric.COSINE).new_moments() for _ in range(3))
    for subset in range(3):
        whole.update(subset, z[subset], label)
        left.update(subset, z[subset, :25], label[:25])
        right.update(subset, z[subset, 25:], label[25:])
    for total, a, b in zip(whole.tensors(), left.tensors(), right.tensors(), strict=True):
        torch.testing.assert_close(a + b, total)


def test_statistics_travel_with_the_state_dict():
    z, label = embeddings(2, Metric.COSINE)
    statistics, other = (ClassStatistics(2, 3, 6, Metric.COSINE) for _ in range(2))
    moments = statistics.new_moments()
    for subset in range(3):
        moments.update(subset, z[subset], label)
    statistics.fit(moments)
    other.load_state_dict(statistics.state_dict())
    other.check_fitted()
    assert torch.equal(other.std, statistics.std)


def test_class_without_samples_is_refused_with_its_subset():
    z, label = embeddings(2, Metric.COSINE)
    statistics = ClassStatistics(2, 4, 6, Metric.COSINE)
    moments = statistics.new_moments()
    for subset in range(3):
        moments.update(subset, z[subset], label)
    with pytest.raises(ValueError, match=r"class 3 has none that holds modalities \[0\]"):
        statistics.fit(moments)


@pytest.mark.parametrize("metric", list(Metric))
def test_frequency_of_a_class_does_not_move_the_statistics(metric):
    z, label = embeddings(2, metric)
    fitted = []
    for repeats in (1, 5):
        statistics = ClassStatistics(2, 3, 6, metric)
        moments = statistics.new_moments()
        rows = torch.cat([torch.arange(60), *[(label == 1).nonzero().flatten()] * (repeats - 1)])
        for subset in range(3):
            moments.update(subset, z[subset][rows], label[rows])
        statistics.fit(moments)
        fitted.append(statistics)
    for name in ("prototypes", "std", "overall"):
        torch.testing.assert_close(getattr(fitted[0], name), getattr(fitted[1], name), rtol=1e-6, atol=1e-6)


def test_prevalence_is_unknown_until_it_is_set_and_travels():
    statistics = ClassStatistics(2, 3, 6, Metric.COSINE)
    assert statistics.prevalence.isnan().all()
    assert statistics.learned_prevalence.isnan().all()
    statistics.set_prevalence([0.5, 0.25, 0.25], [1 / 3] * 3)
    other = ClassStatistics(2, 3, 6, Metric.COSINE)
    other.load_state_dict(statistics.state_dict())
    assert other.prevalence.tolist() == [0.5, 0.25, 0.25]
    assert other.learned_prevalence.tolist() == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.5, 0.6, -0.1], [0.5, 0.2, 0.2], [0.5, math.nan, 0.5]])
def test_prevalence_must_be_shares_of_all_classes(shares):
    statistics = ClassStatistics(2, 3, 6, Metric.COSINE)
    with pytest.raises(ValueError, match=r"learned_prevalence must be 3 shares that add up to 1, however: \[0.5, "):
        statistics.set_prevalence([0.5, 0.25, 0.25], shares)
    assert statistics.prevalence.isnan().all()


def test_distances_by_hand():
    z, c = torch.tensor([[0.6, 0.8]]), torch.tensor([[0.0, 0.5], [1.0, 0.0]])
    torch.testing.assert_close(class_scores(z, c, Metric.COSINE), torch.tensor([[0.4, 0.6]]))
    torch.testing.assert_close(class_scores(z, c, Metric.SQUARED_EUCLIDEAN), -torch.tensor([[0.45, 0.8]]))
    torch.testing.assert_close(radial_distance(z, c[:1], Metric.COSINE), torch.tensor([0.6]))
    torch.testing.assert_close(radial_distance(z, c[:1], Metric.SQUARED_EUCLIDEAN), torch.tensor([math.sqrt(0.45)]))
    assert torch.equal(normalize(z * 3, Metric.SQUARED_EUCLIDEAN), z * 3)
    torch.testing.assert_close(normalize(z * 3, Metric.COSINE), z)


@pytest.mark.parametrize("metric", METRICS)
def test_confidence_and_similarity_equal_scipy(metric):
    z, label = embeddings(2, metric)
    statistics = ClassStatistics(2, 3, 6, metric)
    moments = statistics.new_moments()
    for subset in range(3):
        moments.update(subset, z[subset], label)
    statistics.fit(moments)
    code = torch.arange(60) % 3
    p = intra_class_similarity(z[0], label, code, statistics)
    q = confidence(z[0], statistics, temperature=0.1)
    for row in range(60):
        c = statistics.prototypes[code[row], label[row]]
        d = 1 - z[0, row] @ c if metric is Metric.COSINE else torch.dist(z[0, row], c)
        want = 2 * norm.sf(float(d) / float(statistics.std[code[row], label[row]]))
        assert float(p[row]) == pytest.approx(want, abs=1e-5)
        scores = [-oracle.class_distance(z[0, row].numpy(), c.numpy(), metric.value) for c in statistics.overall]
        if metric is Metric.SQUARED_EUCLIDEAN:
            scores = [-(score**2) for score in scores]
        weights = np.exp((np.array(scores) - max(scores)) / 0.1)
        assert float(q[row]) == pytest.approx(weights.max() / weights.sum(), abs=1e-5)


def test_similarity_of_the_empty_subset_is_undefined():
    statistics = ClassStatistics(2, 3, 6, Metric.COSINE)
    p = intra_class_similarity(torch.zeros(2, 6), torch.tensor([0, 1]), torch.tensor([-1, 0]), statistics)
    assert p.isnan().tolist() == [True, False]


@pytest.mark.parametrize("form", list(ICSWeight))
def test_weights_equal_the_equations_and_stay_finite_at_the_edges(form):
    values = [0.0, 1e-30, 1e-9, 1e-3, 0.2, 0.5, 0.999999, 1.0]
    for p in [*values, math.nan]:
        for p_after in values:
            got = float(ics_weight_of(*torch.tensor([p, p_after], dtype=torch.float64), form))
            assert 0 <= got <= 1
            assert got == pytest.approx(oracle.weight_of_similarity(p, p_after, form.value), abs=2e-6)


def test_reward_by_hand():
    assert float(reward(torch.tensor(0.6), torch.tensor(0.9), torch.tensor(0.5))) == pytest.approx(-0.15)
