"""Hand-worked cases for the oracle itself, so that two wrong implementations cannot agree."""

import math

import numpy as np
import pytest

from tests.selection.oracle import (
    OracleObserved,
    OracleStatistics,
    confidence,
    fit_statistics,
    intra_class_similarity,
    select_one,
    subsets_of,
    weight_of_similarity,
)

PLAIN = {"ics_weight": "none", "metric": "squared_euclidean", "temperature": 1.0}


def line_statistics(n_modalities):
    """Two classes on a line at 0 and 10, widths 1: the further from 5, the more confident."""
    order = subsets_of(n_modalities)
    centers = np.array([[0.0], [10.0]])
    return OracleStatistics(order, np.stack([centers] * len(order)), np.ones((len(order), 2)), centers)


def adding_fuse(present):
    """Every modality shifts the embedding by its token; the classifier cuts at 5."""
    z = 5.0 + sum(token for token in present if token is not None)
    return np.array([5.0 - z, z - 5.0]), np.array([z])


def run(tokens, complete, candidates, strategy="greedy", **options):
    statistics = options.pop("statistics", line_statistics(len(tokens)))
    settings = {**PLAIN, **options}
    return select_one(
        adding_fuse, OracleObserved(tokens, complete), candidates, statistics, strategy=strategy, **settings
    )


def test_subsets_go_by_size_then_lexicographic():
    assert subsets_of(3) == [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]


def test_statistics_of_a_line():
    features = {(0,): np.array([[0.0], [2.0], [10.0]]), (1,): np.array([[4.0], [4.0], [12.0]])}
    fitted = fit_statistics(features, [0, 0, 1], 2, "squared_euclidean")
    assert fitted.prototypes[0].ravel().tolist() == [1.0, 10.0]
    assert fitted.std.tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert fitted.overall.ravel().tolist() == [2.5, 11.0]


def test_cosine_distance_uses_prototypes_as_they_are():
    features = {(0,): np.array([[1.0, 0.0], [0.0, 1.0]])}
    fitted = fit_statistics(features, [0, 0], 1, "cosine")
    assert fitted.prototypes[0, 0].tolist() == [0.5, 0.5]
    assert fitted.std[0, 0] == 0.5


def test_confidence_is_a_softmax():
    q = confidence(np.array([1.0]), np.array([[0.0], [2.0], [1.0]]), "squared_euclidean", 1.0)
    assert q == pytest.approx(1 / (1 + 2 * math.exp(-1)))


def test_intra_class_similarity_follows_the_normal_law():
    statistics = line_statistics(1)
    p = intra_class_similarity(np.array([1.959964]), np.array([1.0, 0.0]), (0,), statistics, "squared_euclidean")
    assert p == pytest.approx(0.05, abs=1e-6)
    p = intra_class_similarity(np.array([0.6744898]), np.array([1.0, 0.0]), (0,), statistics, "squared_euclidean")
    assert p == pytest.approx(0.5, abs=1e-6)
    assert math.isnan(intra_class_similarity(np.array([0.0]), np.array([1.0]), (), statistics, "cosine"))


@pytest.mark.parametrize(
    ("p", "p_after", "form", "expected"),
    [
        (0.2, 0.3, "ratio", 1.0),
        (0.2, 0.1, "none", 1.0),
        (0.2, 0.1, "ratio", 0.5),
        (0.1, 0.01, "log_ratio", 0.5),
        (0.01, 0.0, "log_ratio", math.log(0.01) / math.log(1e-9)),
        (1e-9, 0.0, "log_ratio", 1.0),
        (1e-12, 1e-13, "log_ratio", 1.0),
        (math.nan, 0.3, "ratio", 1.0),
    ],
)
def test_weights(p, p_after, form, expected):
    assert weight_of_similarity(p, p_after, form) == pytest.approx(expected, abs=1e-6)


def test_weight_stays_positive_when_p_is_one():
    assert 0 < weight_of_similarity(1.0, 0.5, "log_ratio") < 1e-8


def test_greedy_takes_the_highest_then_recomputes():
    result = run([0.1, None, None], [True, False, False], {(1, 1): 0.1, (1, 2): 0.05, (2, 1): 0.2})
    assert result.chosen == {0: 0, 1: 1, 2: 1}
    assert [step.accepted for step in result.steps] == [((2, 1),), ((1, 1),)]
    assert result.steps[0].q_before == pytest.approx(1 / (1 + math.exp(-2)))
    assert result.embedding == pytest.approx([5.4])


def test_rejection_is_for_good():
    # candidate 1 moves back to the middle now, yet would help after candidate 2: it was refused once
    result = run([-1.0, None, None], [True, False, False], {(1, 1): 1.5, (2, 1): -0.5})
    assert result.chosen == {0: 0, 1: 0, 2: 1}
    kept = run([0.0, None, None], [True, False, False], {(1, 1): 0.0, (2, 1): 1.0})
    assert kept.steps[0].rewards[1, 1] == 0.0
    assert (1, 1) in kept.steps[1].rewards
    assert kept.chosen == {0: 0, 1: 0, 2: 1}


def test_ties_go_to_the_lowest_modality_then_variant():
    result = run([None, None, 0.1], [False, False, True], {(1, 1): 0.2, (0, 3): 0.2, (0, 2): 0.2}, strategy="greedy")
    assert result.steps[0].accepted == ((0, 2),)


def test_nan_rewards_are_never_fused():
    result = run([0.5, None], [True, False], {(1, 1): math.nan})
    assert math.isnan(result.steps[0].rewards[1, 1])
    assert result.chosen == {0: 0, 1: 0}


def test_baselines_and_simultaneous():
    candidates = {(1, 2): 0.3, (1, 3): 0.4, (2, 1): -0.2}
    assert run([0.5, None, None], [True, False, False], candidates, "discard").chosen == {0: 0, 1: 0, 2: 0}
    assert run([0.5, None, None], [True, False, False], candidates, "fuse_all").chosen == {0: 0, 1: 2, 2: 1}
    assert run([0.5, None, None], [True, False, False], candidates, "simultaneous").chosen == {0: 0, 1: 3, 2: 0}


def test_partly_observed_counts_as_missing_until_fused():
    statistics = line_statistics(2)
    statistics.std[0, :] = 2.0  # only modality 0
    statistics.std[2, :] = 4.0  # both
    result = run([1.0, 0.5], [True, False], {(1, 1): 1.0}, statistics=statistics, ics_weight="ratio")
    step = result.steps[0]
    assert step.ics_before == pytest.approx(math.erfc(3.5 / 2.0 / math.sqrt(2)))
    assert step.ics_after[1, 1] == pytest.approx(math.erfc(3.0 / 4.0 / math.sqrt(2)))


def test_nothing_whole_observed_has_no_similarity_before():
    result = run([None, 0.5], [False, False], {(0, 1): 0.25, (1, 1): 0.75}, ics_weight="log_ratio")
    assert math.isnan(result.steps[0].ics_before)
    assert result.steps[0].ics_weight == {(0, 1): 1.0, (1, 1): 1.0}
