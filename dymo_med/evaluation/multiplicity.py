"""Correction of p values for many comparisons."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["holm"]


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust p values so that the chance of any false finding among them stays below the level.

    Args:
        p_values: (C,) in [0, 1]; nan for comparisons that could not be made, which do not count.

    Returns:
        Adjusted values (C,), never below the given ones; nan stays nan.

    Raises:
        ValueError: a value is out of range or the shape is not (C,).

    Source:
        Holm, Scandinavian Journal of Statistics 1979;6:65-70.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
        [0.03, 0.06, 0.06]
    """
    given = np.asarray(p_values, dtype=np.float64)
    if given.ndim != 1:
        raise ValueError(f"p_values must have shape (C,), however: p_values.shape={given.shape}")
    made = np.flatnonzero(~np.isnan(given))
    strange = given[made][(given[made] < 0) | (given[made] > 1)]
    if len(strange):
        raise ValueError(f"p_values must be between 0 and 1, however: {strange[:5].tolist()} among {len(given)}")
    adjusted = np.full_like(given, np.nan)
    order = made[np.argsort(given[made], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * given[order]), 1)
    return adjusted
