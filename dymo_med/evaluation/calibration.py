"""Agreement of predicted probabilities with what happened: Brier score, calibration intercept, slope and ICI."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import binomtest

from dymo_med.evaluation.logistic import fit_logistic
from dymo_med.utils import check_positive_int

__all__ = [
    "brier_score",
    "calibration_groups",
    "calibration_intercept",
    "calibration_slope",
    "integrated_calibration_index",
    "log_odds",
    "smooth_calibration",
]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]

SMALLEST = 1e-7
"""Probabilities nearer to 0 or 1 count as this far from it where log odds are taken: single precision ends there."""
KNOT_QUANTILES = (0.05, 0.35, 0.65, 0.95)
"""Of a restricted cubic spline with four knots (Harrell, Regression Modeling Strategies, 2015, table 2.3)."""


def log_odds(probability: FloatArray) -> FloatArray:
    """Give the log odds of probabilities, those within 1e-7 of 0 or 1 taken as 1e-7 away from it."""
    odds: FloatArray = logit(np.clip(probability, SMALLEST, 1 - SMALLEST))
    return odds


def brier_score(is_positive: BoolArray, probability: FloatArray, weight: FloatArray | None = None) -> FloatArray:
    """Give the mean squared difference between probability and outcome; lower is better.

    Args:
        is_positive: (N,) class of every subject.
        probability: (N,) probability of the positive class.
        weight: (..., N) how often each subject counts; None = once.

    Returns:
        Values in [0, 1], shape (...).

    Source:
        Brier, Monthly Weather Review 1950;78:1-3, in its form for two classes.

    Example:
        >>> float(brier_score(np.array([True, False]), np.array([0.5, 0.5])))
        0.25
    """
    weight = np.ones(len(is_positive)) if weight is None else weight
    square: FloatArray = (probability - is_positive) ** 2
    return np.asarray(weight @ square / weight.sum(-1))


def calibration_slope(is_positive: BoolArray, probability: FloatArray, weight: FloatArray | None = None) -> FloatArray:
    """Give the slope of a logistic regression of the outcome on the log odds: 1 = right, below 1 = too extreme.

    Args:
        is_positive: (N,) class of every subject.
        probability: (N,) probability of the positive class.
        weight: (..., N) how often each subject counts; None = once.

    Returns:
        Values of shape (...); nan where the regression has no finite solution.

    Source:
        Cox, Biometrika 1958;45:562-565; Van Calster et al., J Clin Epidemiol 2016;74:167-176.

    Example:
        >>> label, probability = np.array([0, 1, 0, 0, 1, 1, 0, 1]) == 1, np.array([0.1, 0.2] + [0.4] * 4 + [0.8, 0.9])
        >>> float(calibration_slope(label, probability)) < 1
        True
    """
    x = log_odds(probability)
    design = np.stack([np.ones_like(x), x], axis=1)
    return fit_logistic(design, is_positive, weight)[..., 1]


def calibration_intercept(
    is_positive: BoolArray, probability: FloatArray, weight: FloatArray | None = None
) -> FloatArray:
    """Give the intercept of a logistic regression with the log odds as offset: above 0 = risks are too low on average.

    Args:
        is_positive: (N,) class of every subject.
        probability: (N,) probability of the positive class.
        weight: (..., N) how often each subject counts; None = once.

    Returns:
        Values of shape (...); nan where the regression has no finite solution.

    Source:
        Calibration-in-the-large: Van Calster et al., J Clin Epidemiol 2016;74:167-176.

    Example:
        >>> label = np.array([True, True, True, False])
        >>> round(float(calibration_intercept(label, np.full(4, 0.5))), 4)  # log(3) above even odds
        1.0986
    """
    design = np.ones((len(is_positive), 1))
    return fit_logistic(design, is_positive, weight, offset=log_odds(probability))[..., 0]


def integrated_calibration_index(
    is_positive: BoolArray, probability: FloatArray, weight: FloatArray | None = None
) -> FloatArray:
    """Give the mean absolute difference between probabilities and a smooth calibration curve (ICI); 0 = calibrated.

    The curve is that of :func:`smooth_calibration`.

    Args:
        is_positive: (N,) class of every subject.
        probability: (N,) probability of the positive class.
        weight: (..., N) how often each subject counts; None = once. Knots stay those of the subjects themselves.

    Returns:
        Values in [0, 1], shape (...); nan where there is no curve.

    Source:
        Austin and Steyerberg, Statistics in Medicine 2019;38:4051-4065.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> probability = rng.random(4000)
        >>> float(integrated_calibration_index(rng.random(4000) < probability, probability)) < 0.02
        True
    """
    weight = np.ones(len(is_positive)) if weight is None else weight
    observed = smooth_calibration(is_positive, probability, weight)
    return np.asarray((weight * np.abs(observed - probability)).sum(-1) / weight.sum(-1))


def smooth_calibration(is_positive: BoolArray, probability: FloatArray, weight: FloatArray | None = None) -> FloatArray:
    """Give the smoothed share of events at every subject's probability.

    The curve is a logistic regression on a restricted cubic spline of the log odds with four knots, at the 5 %, 35 %,
    65 % and 95 % quantiles; unlike LOWESS it needs no bandwidth.

    Args:
        is_positive: (N,) class of every subject.
        probability: (N,) probability of the positive class.
        weight: (..., N) how often each subject counts; None = once.

    Returns:
        Shares (..., N); nan where two knots fall together or the regression has no finite solution.

    Source:
        Spline: Harrell, Regression Modeling Strategies, 2015, section 2.4.5.

    Example:
        >>> probability = np.linspace(0.01, 0.99, 300)
        >>> label = np.random.default_rng(0).random(300) < probability
        >>> float(np.abs(smooth_calibration(label, probability) - probability).max()) < 0.1
        True
    """
    x = log_odds(probability)
    knots = np.quantile(x, KNOT_QUANTILES)
    if np.diff(knots).min() <= 0:
        shape = x.shape if weight is None else weight.shape
        return np.full(shape, np.nan)
    design = _restricted_cubic(x, knots)
    curve: FloatArray = expit(fit_logistic(design, is_positive, weight) @ design.T)
    return curve


def calibration_groups(
    is_positive: BoolArray, probability: FloatArray, *, n_groups: int = 10, level: float = 0.95
) -> pd.DataFrame:
    """Compare mean probability and share of events in groups of equal size, for the points of a calibration plot.

    Args:
        is_positive: (N,) class of every subject.
        probability: (N,) probability of the positive class; subjects of equal probability share a group.
        n_groups: Number of groups.
        level: Confidence level of the shares (Wilson).

    Returns:
        One row a group, from low to high: ``n``, ``n_positive``, ``predicted``, ``observed``, ``observed_low``,
        ``observed_high``.

    Raises:
        ValueError: ``n_groups`` is not a positive integer.

    Example:
        >>> groups = calibration_groups(np.array([False, True, True, True]), np.array([0.2, 0.4, 0.6, 0.8]), n_groups=2)
        >>> groups[["n", "predicted", "observed"]].round(2).values.tolist()
        [[2.0, 0.3, 0.5], [2.0, 0.7, 1.0]]
    """
    check_positive_int("n_groups", n_groups)
    rank = pd.Series(probability).rank(method="min").to_numpy() - 1
    group = np.floor(rank * n_groups / len(rank)).astype(int)
    rows = []
    for number in np.unique(group):
        inside = group == number
        n, n_positive = int(inside.sum()), int(is_positive[inside].sum())
        interval = binomtest(n_positive, n).proportion_ci(level, method="wilson")
        row = (n, n_positive, float(probability[inside].mean()), n_positive / n, interval.low, interval.high)
        rows.append(row)
    names = ["n", "n_positive", "predicted", "observed", "observed_low", "observed_high"]
    return pd.DataFrame(rows, columns=names)


def _restricted_cubic(x: FloatArray, knots: FloatArray) -> FloatArray:
    """Give the columns 1, x and the cubic terms that are linear beyond the outer knots; shape (N, number of knots)."""
    first, before_last, last = knots[0], knots[-2], knots[-1]

    def cube(knot: float) -> FloatArray:
        """Give the third power above a knot."""
        above: FloatArray = np.maximum(x - knot, 0) ** 3
        return above

    terms = [
        cube(knot)
        - cube(before_last) * (last - knot) / (last - before_last)
        + cube(last) * (before_last - knot) / (last - before_last)
        for knot in knots[:-2]
    ]
    scale = (last - first) ** 2
    return np.stack([np.ones_like(x), x, *(term / scale for term in terms)], axis=1)
