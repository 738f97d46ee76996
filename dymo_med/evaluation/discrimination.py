"""Area under the ROC curve with intervals and paired tests after DeLong, from midranks."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata

from dymo_med.evaluation.inputs import as_classes, as_scores

__all__ = ["Estimate", "PairedDifference", "auroc_interval", "delong", "paired_auroc_test"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure with its confidence interval and the numbers behind it.

    Args:
        value: Point estimate; nan where it is not defined.
        low: Lower bound; nan where it is not defined.
        high: Upper bound; nan where it is not defined.
        n: Number of subjects.
        n_positive: Number of subjects with label 1.

    Example:
        >>> auroc_interval([0, 1], [0.2, 0.1]).value
        0.0
    """

    value: float
    low: float
    high: float
    n: int
    n_positive: int


@dataclass(frozen=True)
class PairedDifference:
    """Difference of two areas measured on the same subjects.

    Args:
        difference: Area of the first score minus area of the second.
        low: Lower bound of the interval.
        high: Upper bound of the interval.
        p_value: Two-sided, for a true difference of zero.

    Example:
        >>> paired_auroc_test([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], [0.1, 0.3, 0.2, 0.4]).difference
        0.25
    """

    difference: float
    low: float
    high: float
    p_value: float


def auroc_interval(label: ArrayLike, score: ArrayLike, level: float = 0.95) -> Estimate:
    """Estimate the area under the ROC curve with an interval.

    The variance is DeLong's. The interval is symmetric on the logit scale, so that it stays within 0 and 1 and keeps
    its coverage near 1. It is nan, for want of a variance, at an area of exactly 0 or 1 and with fewer than two
    subjects in a class.

    Args:
        label: (N,) 0 or 1; 1 is the positive class.
        score: (N,) higher for the positive class; ties count one half. Probabilities and logits give the same area.
            With (S, N), such as predictions under S draws of simulated gaps, the result is the mean area.
        level: Confidence level in (0, 1).

    Returns:
        The area; nan, with a warning, when only one class is present.

    Raises:
        ValueError: lengths differ, a label is not 0 or 1, a score is nan, or the level is out of range.

    Source:
        DeLong, DeLong and Clarke-Pearson, Biometrics 1988;44:837-845; logit interval: Pepe, The Statistical Evaluation
        of Medical Tests for Classification and Prediction, 2003.

    Example:
        >>> estimate = auroc_interval([0, 0, 0, 1, 1], [0.1, 0.2, 0.6, 0.5, 0.9])
        >>> round(estimate.value, 3), estimate.n, estimate.n_positive
        (0.833, 5, 2)
    """
    _check_level(level)
    is_positive = as_classes(label)
    scores = np.atleast_2d(as_scores("score", score, len(is_positive)))
    n, n_positive = len(is_positive), int(is_positive.sum())
    if not _has_both_classes(is_positive):
        return Estimate(np.nan, np.nan, np.nan, n, n_positive)
    areas, covariance = delong(is_positive, scores)
    area, variance = float(areas.mean()), float(covariance.mean())
    if not 0 < area < 1 or np.isnan(variance):
        return Estimate(area, np.nan, np.nan, n, n_positive)
    half = norm.ppf(0.5 + level / 2) * np.sqrt(variance) / (area * (1 - area))
    low, high = (float(1 / (1 + np.exp(-(np.log(area / (1 - area)) + side)))) for side in (-half, half))
    return Estimate(area, low, high, n, n_positive)


def paired_auroc_test(
    label: ArrayLike, score_a: ArrayLike, score_b: ArrayLike, level: float = 0.95
) -> PairedDifference:
    """Compare two scores of the same subjects by their areas under the ROC curve.

    The interval is DeLong's, symmetric about the difference. Two scores that rank every pair alike give zero width and
    a p value of 1. With fewer than two subjects in a class bounds and p value are nan.

    Args:
        label: (N,) 0 or 1; 1 is the positive class.
        score_a: (N,) first score, or (S, N) for the mean area of S scores.
        score_b: (N,) or (S, N) second score, subjects in the same order.
        level: Confidence level in (0, 1).

    Returns:
        Area of ``score_a`` minus area of ``score_b``; all nan, with a warning, when only one class is present.

    Raises:
        ValueError: lengths differ, a label is not 0 or 1, a score is nan, or the level is out of range.

    Source:
        DeLong, DeLong and Clarke-Pearson, Biometrics 1988;44:837-845.

    Example:
        >>> result = paired_auroc_test([0, 0, 1, 1], [0.1, 0.3, 0.2, 0.9], [1, 3, 2, 9])
        >>> result.difference, result.p_value
        (0.0, 1.0)
    """
    _check_level(level)
    is_positive = as_classes(label)
    first = np.atleast_2d(as_scores("score_a", score_a, len(is_positive)))
    second = np.atleast_2d(as_scores("score_b", score_b, len(is_positive)))
    if not _has_both_classes(is_positive):
        return PairedDifference(np.nan, np.nan, np.nan, np.nan)
    areas, covariance = delong(is_positive, np.concatenate([first, second]))
    contrast = np.repeat([1 / len(first), -1 / len(second)], [len(first), len(second)])
    difference = float(contrast @ areas)
    error = float(np.sqrt(max(contrast @ covariance @ contrast, 0.0)))
    if error < 1e-12 and abs(difference) < 1e-15:  # zero but for rounding
        return PairedDifference(0.0, 0.0, 0.0, 1.0)
    if error < 1e-12 or np.isnan(error):
        return PairedDifference(difference, np.nan, np.nan, np.nan)
    half = float(norm.ppf(0.5 + level / 2)) * error
    p_value = float(2 * norm.sf(abs(difference) / error))
    return PairedDifference(difference, difference - half, difference + half, p_value)


def delong(is_positive: NDArray[np.bool_], scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give the areas of several scores of the same subjects, and their covariance.

    Args:
        is_positive: (N,) class of every subject, both present.
        scores: (R, N) higher for the positive class.

    Returns:
        Areas (R,) and covariance (R, R), which is nan for a class of one subject.

    Source:
        DeLong, DeLong and Clarke-Pearson, Biometrics 1988;44:837-845; by midranks: Sun and Xu, IEEE Signal Processing
        Letters 2014;21:1389-1393.

    Example:
        >>> areas, _ = delong(np.array([True, False, True]), np.array([[3.0, 1.0, 2.0], [1.0, 2.0, 2.0]]))
        >>> areas.tolist()
        [1.0, 0.25]
    """
    positive, negative = scores[:, is_positive], scores[:, ~is_positive]
    n_positive, n_negative = positive.shape[1], negative.shape[1]
    rank_all = rankdata(np.concatenate([positive, negative], axis=1), axis=1)
    # share of negatives below each positive, and of positives above each negative; ties count one half
    share_below = (rank_all[:, :n_positive] - rankdata(positive, axis=1)) / n_negative
    share_above = 1 - (rank_all[:, n_positive:] - rankdata(negative, axis=1)) / n_positive
    areas = share_below.mean(axis=1)
    if min(n_positive, n_negative) < 2:
        return areas, np.full((len(scores), len(scores)), np.nan)
    covariance = np.cov(share_below) / n_positive + np.cov(share_above) / n_negative
    return areas, np.atleast_2d(covariance)


def _has_both_classes(is_positive: NDArray[np.bool_]) -> bool:
    n_positive = int(is_positive.sum())
    if 0 < n_positive < len(is_positive):
        return True
    warnings.warn(
        f"the area under the ROC curve needs both classes, however: {n_positive} positive and "
        f"{len(is_positive) - n_positive} negative subjects; the result is nan",
        stacklevel=3,
    )
    return False


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, both excluded, however: level={level!r}")
