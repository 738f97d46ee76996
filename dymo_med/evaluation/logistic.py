"""Unpenalized logistic regression for many sets of weights at once."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

__all__ = ["fit_logistic"]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]

MAX_STEPS = 60
TOLERANCE = 1e-9
MAX_CONDITION = 1e10
LONGEST_STEP = 4.0


def fit_logistic(
    design: FloatArray, is_positive: BoolArray, weight: FloatArray | None = None, *, offset: FloatArray | None = None
) -> FloatArray:
    """Fit a logistic regression by Newton's method, once for every row of weights.

    Args:
        design: (N, P) columns, the constant one among them where an intercept is wanted.
        is_positive: (N,) outcome.
        weight: (..., N) how often each subject counts; None = once.
        offset: (N,) part of the log odds that is given; None = none.

    Returns:
        Coefficients (..., P); nan where there is no finite solution (one class only, or classes that a cut through the
        columns separates).

    Example:
        >>> label = np.array([True, True, True, False])
        >>> fit_logistic(np.ones((4, 1)), label).round(4).tolist()
        [1.0986]
        >>> bool(np.isnan(fit_logistic(np.ones((2, 1)), np.array([True, True]))).all())
        True
    """
    weights = np.ones(len(is_positive)) if weight is None else weight
    counts = weights.reshape(-1, weights.shape[-1])
    scale = np.maximum(np.abs(design).max(axis=0), 1e-12)  # columns of one size keep the matrices well conditioned
    columns = design / scale
    fixed = np.zeros(len(design)) if offset is None else offset
    products = (columns[:, :, None] * columns[:, None, :]).reshape(len(columns), -1)
    n_columns = columns.shape[1]
    beta = np.zeros((len(counts), n_columns))
    result = np.full_like(beta, np.nan)
    running = np.arange(len(counts))
    for _ in range(MAX_STEPS):
        mu = expit(beta[running] @ columns.T + fixed)
        slope = (counts[running] * (is_positive - mu)) @ columns
        curvature = ((counts[running] * mu * (1 - mu)) @ products).reshape(-1, n_columns, n_columns)
        size = counts[running].sum(-1)[:, None, None]
        solvable = (np.linalg.norm(curvature / size, axis=(1, 2)) > 1e-12) & (np.linalg.cond(curvature) < MAX_CONDITION)
        running, slope, curvature = running[solvable], slope[solvable], curvature[solvable]
        if not len(running):
            break
        step = np.linalg.solve(curvature, slope[..., None])[..., 0]
        length = np.abs(step).max(axis=1)
        beta[running] += step * np.minimum(1, LONGEST_STEP / np.maximum(length, 1e-12))[:, None]
        done = length < TOLERANCE * (1 + np.abs(beta[running]).max(axis=1))
        result[running[done]] = beta[running[done]] / scale
        running = running[~done]
        if not len(running):
            break
    return result.reshape(*weights.shape[:-1], n_columns)
