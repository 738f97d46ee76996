"""Figures of merit of a ranking or of a cut-off: AUPRC, balanced accuracy, sensitivity at a fixed specificity."""

import numpy as np
from numpy.typing import NDArray

from dymo_med.utils import check_fraction

__all__ = ["average_precision", "balanced_accuracy", "sensitivity_at_specificity"]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]


def average_precision(is_positive: BoolArray, probability: FloatArray, weight: FloatArray | None = None) -> FloatArray:
    """Give the area under the precision-recall curve as average precision, without interpolation.

    A model that knows nothing reaches the share of positives, not one half.

    Args:
        is_positive: (N,) class of every subject.
        probability: (N,) higher for the positive class; ties form one step of the curve.
        weight: (..., N) how often each subject counts; None = once.

    Returns:
        Values in [0, 1], shape (...); nan without positive subjects.

    Source:
        Definition of ``sklearn.metrics.average_precision_score``.

    Example:
        >>> label, probability = np.array([False, True, False, True]), np.array([0.1, 0.4, 0.6, 0.8])
        >>> round(float(average_precision(label, probability)), 4)
        0.8333
    """
    hits, alarms = _operating_points(is_positive, probability, _weights(is_positive, weight))
    found = np.diff(hits, axis=-1, prepend=0.0)
    called = hits + alarms
    precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
    return _ratio((found * precision).sum(-1), hits[..., -1])


def sensitivity_at_specificity(
    is_positive: BoolArray, probability: FloatArray, weight: FloatArray | None = None, *, specificity: float = 0.9
) -> FloatArray:
    """Give the highest sensitivity of a cut-off whose specificity is at least the given one.

    The curve is a staircase: there is no interpolation between two cut-offs.

    Args:
        is_positive: (N,) class of every subject.
        probability: (N,) higher for the positive class.
        weight: (..., N) how often each subject counts; None = once.
        specificity: Specificity to be reached, in [0, 1].

    Returns:
        Values in [0, 1], shape (...); nan without both classes.

    Raises:
        ValueError: ``specificity`` is out of range.

    Example:
        >>> label = np.array([False, False, False, False, True, True])
        >>> probability = np.array([0.1, 0.2, 0.3, 0.7, 0.6, 0.8])
        >>> float(sensitivity_at_specificity(label, probability, specificity=0.9))
        0.5
        >>> float(sensitivity_at_specificity(label, probability, specificity=0.75))
        1.0
    """
    check_fraction("specificity", specificity)
    hits, alarms = _operating_points(is_positive, probability, _weights(is_positive, weight))
    n_positive, n_negative = hits[..., -1], alarms[..., -1]
    allowed = alarms <= (1 - specificity) * n_negative[..., None] + 1e-9  # 1 - 0.9 is 0.0999...
    best = np.where(allowed, hits, 0.0).max(-1)
    return np.where(n_negative > 0, _ratio(best, n_positive), np.nan)


def balanced_accuracy(
    is_positive: BoolArray, probability: FloatArray, weight: FloatArray | None = None, *, threshold: float = 0.5
) -> FloatArray:
    """Give the mean of sensitivity and specificity at a cut-off.

    Args:
        is_positive: (N,) class of every subject.
        probability: (N,) probability of the positive class; a subject is called positive at or above the cut-off.
        weight: (..., N) how often each subject counts; None = once.
        threshold: Cut-off in [0, 1]; where it is not 0.5, choose it on validation subjects.

    Returns:
        Values in [0, 1], shape (...); nan without both classes.

    Raises:
        ValueError: ``threshold`` is out of range.

    Example:
        >>> label, probability = np.array([False, False, True, True]), np.array([0.1, 0.6, 0.7, 0.9])
        >>> float(balanced_accuracy(label, probability))
        0.75
    """
    check_fraction("threshold", threshold)
    weight = _weights(is_positive, weight)
    called = probability >= threshold
    sensitivity = _ratio((weight * (called & is_positive)).sum(-1), (weight * is_positive).sum(-1))
    specificity = _ratio((weight * (~called & ~is_positive)).sum(-1), (weight * ~is_positive).sum(-1))
    return np.asarray((sensitivity + specificity) / 2)


def _operating_points(
    is_positive: BoolArray, probability: FloatArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Give true and false positives (..., G) at every distinct probability, from the highest down."""
    order = np.argsort(-probability, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(probability[order])), len(order) - 1)
    counted = weight[..., order]
    hits = np.cumsum(counted * is_positive[order], axis=-1)[..., ends]
    alarms = np.cumsum(counted * ~is_positive[order], axis=-1)[..., ends]
    return hits, alarms


def _weights(is_positive: BoolArray, weight: FloatArray | None) -> FloatArray:
    return np.ones(len(is_positive)) if weight is None else weight


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Divide; nan where the whole is zero."""
    ratio: FloatArray = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
    return ratio
