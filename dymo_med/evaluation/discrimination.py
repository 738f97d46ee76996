"""Area under the ROC curve with intervals and paired tests after DeLong, from midranks."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata

__all__ = ["Estimate", "PairedDifference", "auroc_interval", "paired_auroc_test"]

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
    is_positive, scores = _checked(label, {"score": score}, level)
    n, n_positive = len(is_positive), int(is_positive.sum())
    if not _has_both_classes(is_positive):
        return Estimate(np.nan, np.nan, np.nan, n, n_positive)
    areas, covariance = _delong(is_positive, scores)
    area, variance = float(areas[0]), float(covariance[0, 0])
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
        score_a: (N,) first score.
        score_b: (N,) second score, subjects in the same order.
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
    is_positive, scores = _checked(label, {"score_a": score_a, "score_b": score_b}, level)
    if not _has_both_classes(is_positive):
        return PairedDifference(np.nan, np.nan, np.nan, np.nan)
    areas, covariance = _delong(is_positive, scores)
    difference = float(areas[0] - areas[1])
    error = float(np.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0)))
    if error < 1e-12 and difference == 0:  # zero but for rounding
        return PairedDifference(0.0, 0.0, 0.0, 1.0)
    if error < 1e-12 or np.isnan(error):
        return PairedDifference(difference, np.nan, np.nan, np.nan)
    half = float(norm.ppf(0.5 + level / 2)) * error
    p_value = float(2 * norm.sf(abs(difference) / error))
    return PairedDifference(difference, difference - half, difference + half, p_value)


def _delong(is_positive: NDArray[np.bool_], scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give areas (R,) and their covariance (R, R) for scores (R, N); nan covariance for a class of one."""
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


def _checked(
    label: ArrayLike, named_scores: dict[str, ArrayLike], level: float
) -> tuple[NDArray[np.bool_], FloatArray]:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, both excluded, however: level={level!r}")
    labels = np.asarray(label)
    if labels.ndim != 1:
        raise ValueError(f"label must have shape (N,), however: label.shape={labels.shape}")
    strange = [str(value) for value in np.unique(labels) if value not in (0, 1)]
    if strange:
        raise ValueError(f"labels must be 0 or 1, however: label also holds {', '.join(strange[:5])}")
    scores = []
    for name, values in named_scores.items():
        score = np.asarray(values, dtype=np.float64)
        if score.shape != labels.shape:
            raise ValueError(f"{name} must have one value a label, however: {score.shape} for {labels.shape} labels")
        n_nan = int(np.isnan(score).sum())
        if n_nan:
            raise ValueError(
                f"{name} must not be nan, however: {n_nan} of {len(score)} are: predict or leave out these subjects"
            )
        scores.append(score)
    return labels == 1, np.stack(scores)
