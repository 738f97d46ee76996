"""Intervals by resampling subjects within each class."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from dymo_med.utils import check_positive_int

__all__ = ["Statistic", "bootstrap_interval", "resampled_counts"]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]

Statistic = Callable[[BoolArray, FloatArray, FloatArray], FloatArray]
"""Takes labels (N,), probabilities (N,) and how often each subject counts (..., N); gives values (...)."""

N_RESAMPLES = 1000
MAX_FAILED_SHARE = 0.05
"""Share of resamples in which a figure may be undefined before its interval is not reported."""
CELLS_AT_ONCE = 4_000_000
"""Resamples times subjects that are held in memory together (32 MB for one array)."""


def resampled_counts(is_positive: BoolArray, n_resamples: int, seed: int) -> Iterator[FloatArray]:
    """Draw how often every subject counts in each bootstrap resample; both classes keep their size.

    Args:
        is_positive: (N,) class of every subject.
        n_resamples: Number of resamples R.
        seed: The same seed gives the same resamples, so that figures of the same subjects are compared on them.

    Yields:
        Counts (r, N), whose rows add up to R; in blocks, to bound the memory.

    Raises:
        ValueError: ``n_resamples`` is not a positive integer.

    Example:
        >>> counts = np.concatenate(list(resampled_counts(np.array([True, False, False]), 4, seed=0)))
        >>> counts.shape, counts[:, 0].tolist(), counts[:, 1:].sum(axis=1).tolist()
        ((4, 3), [1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0])
    """
    check_positive_int("n_resamples", n_resamples)
    rng = np.random.default_rng(seed)
    strata = [np.flatnonzero(is_positive), np.flatnonzero(~is_positive)]
    block = max(1, CELLS_AT_ONCE // max(1, len(is_positive)))
    for start in range(0, n_resamples, block):
        size = min(block, n_resamples - start)
        counts = np.zeros((size, len(is_positive)))
        for members in strata:
            if len(members):
                drawn = rng.integers(len(members), size=(size, len(members)))
                places = drawn + len(members) * np.arange(size)[:, None]
                found = np.bincount(places.ravel(), minlength=size * len(members))
                counts[:, members] = found.reshape(size, len(members))
        yield counts


def bootstrap_interval(
    statistic: Statistic,
    is_positive: BoolArray,
    probability: FloatArray,
    *,
    level: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Give the percentile interval of a figure over resamples of subjects, stratified by class.

    Args:
        statistic: The figure.
        is_positive: (N,) class of every subject.
        probability: (N,) predicted probability of the positive class.
        level: Confidence level in (0, 1).
        n_resamples: Number of resamples; 1000 or more for results.
        seed: Seed of the draws.

    Returns:
        Lower and upper bound; nan where a class has fewer than two subjects or where the figure is undefined in more
        than one resample of twenty.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile interval).

    Example:
        >>> def share(label, probability, weight):
        ...     return (weight * (probability > 0.5)).sum(-1) / weight.sum(-1)
        >>> low, high = bootstrap_interval(share, np.arange(80) % 2 == 0, np.linspace(0, 1, 80), seed=1)
        >>> bool(low < 0.5 < high)
        True
    """
    n_positive = int(is_positive.sum())
    if min(n_positive, len(is_positive) - n_positive) < 2:
        return np.nan, np.nan
    blocks = resampled_counts(is_positive, n_resamples, seed)
    values = np.concatenate([statistic(is_positive, probability, counts) for counts in blocks])
    defined = values[np.isfinite(values)]
    if len(defined) < (1 - MAX_FAILED_SHARE) * len(values):
        return np.nan, np.nan
    low, high = np.quantile(defined, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)
