"""Decision curves: what acting on a prediction is worth at every threshold of risk."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dymo_med.evaluation.bootstrap import N_RESAMPLES, bootstrap_interval

__all__ = ["decision_curve", "net_benefit"]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]


def net_benefit(
    is_positive: BoolArray, probability: FloatArray, weight: FloatArray | None = None, *, threshold: float
) -> FloatArray:
    """Give the net benefit of treating all subjects whose risk is at least the threshold.

    It is the share of true positives minus that of false ones times the odds of the threshold; treating nobody has 0.

    Args:
        is_positive: (N,) class of every subject.
        probability: (N,) probability of the positive class.
        weight: (..., N) how often each subject counts; None = once.
        threshold: Risk in (0, 1) at which harm and benefit of treating balance.

    Returns:
        Values of shape (...), at most the share of positives.

    Raises:
        ValueError: ``threshold`` is out of range.

    Source:
        Vickers and Elkin, Medical Decision Making 2006;26:565-574.

    Example:
        >>> label, probability = np.array([True, False, False, False]), np.array([0.9, 0.3, 0.1, 0.1])
        >>> round(float(net_benefit(label, probability, threshold=0.2)), 4)  # 1/4 - 1/4 * 0.2 / 0.8
        0.1875
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must be between 0 and 1, both excluded, however: threshold={threshold!r}")
    weight = np.ones(len(is_positive)) if weight is None else weight
    worth = np.where(is_positive, 1.0, -threshold / (1 - threshold)) * (probability >= threshold)
    return np.asarray(weight @ worth / weight.sum(-1))


def decision_curve(
    is_positive: BoolArray,
    probability: FloatArray,
    thresholds: Sequence[float],
    *,
    level: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Tabulate net benefit over thresholds beside treating everybody and nobody.

    Args:
        is_positive: (N,) class of every subject.
        probability: (N,) probability of the positive class.
        thresholds: Risks in (0, 1).
        level: Confidence level in (0, 1); bootstrap of subjects, stratified by class.
        n_resamples: Number of resamples.
        seed: Seed of the draws.

    Returns:
        One row a threshold: ``threshold``, ``net_benefit``, ``net_benefit_low``, ``net_benefit_high``, ``treat_all``,
        ``treat_none``.

    Raises:
        ValueError: a threshold is out of range, or ``n_resamples`` is not a positive integer.

    Example:
        >>> label, probability = np.array([True, False, False, False]), np.array([0.9, 0.3, 0.1, 0.1])
        >>> curve = decision_curve(label, probability, [0.2, 0.5], n_resamples=10)
        >>> curve[["threshold", "net_benefit", "treat_all", "treat_none"]].round(4).values.tolist()
        [[0.2, 0.1875, 0.0625, 0.0], [0.5, 0.25, -0.5, 0.0]]
    """
    rows = []
    for threshold in thresholds:
        figure = partial(net_benefit, threshold=threshold)
        low, high = bootstrap_interval(
            figure, is_positive, probability, level=level, n_resamples=n_resamples, seed=seed
        )
        everybody = net_benefit(is_positive, np.ones_like(probability), threshold=threshold)
        rows.append((threshold, float(figure(is_positive, probability)), low, high, float(everybody), 0.0))
    names = ["threshold", "net_benefit", "net_benefit_low", "net_benefit_high", "treat_all", "treat_none"]
    return pd.DataFrame(rows, columns=names)
