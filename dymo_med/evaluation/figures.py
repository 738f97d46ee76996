"""All figures of merit of one prediction in one table, each with its interval or the reason why there is none."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from dymo_med.evaluation.bootstrap import N_RESAMPLES, Statistic, bootstrap_interval
from dymo_med.evaluation.calibration import (
    brier_score,
    calibration_intercept,
    calibration_slope,
    integrated_calibration_index,
)
from dymo_med.evaluation.classification import average_precision, balanced_accuracy, sensitivity_at_specificity
from dymo_med.evaluation.decision_curve import net_benefit
from dymo_med.evaluation.discrimination import Estimate, auroc_interval
from dymo_med.evaluation.inputs import as_classes, as_scores

__all__ = ["figures_of_merit"]

MIN_PER_CLASS = 5
"""Subjects of each class below which no figure is given: one subject more would change it beyond recognition."""
NOT_ESTIMABLE = "not estimable"


def figures_of_merit(
    label: ArrayLike,
    probability: ArrayLike,
    *,
    threshold: float = 0.5,
    specificity: float = 0.9,
    net_benefit_at: Sequence[float] = (0.1,),
    level: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    min_per_class: int = MIN_PER_CLASS,
) -> pd.DataFrame:
    """Give discrimination, calibration and usefulness of one prediction.

    Intervals are DeLong's for the AUROC, for all others percentiles of a bootstrap of subjects within each class.

    Args:
        label: (N,) 0 or 1; 1 is the positive class.
        probability: (N,) probability of the positive class.
        threshold: Cut-off of the balanced accuracy; choose it on validation subjects.
        specificity: Specificity at which the sensitivity is read.
        net_benefit_at: Thresholds of risk of the net benefit.
        level: Confidence level in (0, 1).
        n_resamples: Number of resamples.
        seed: Seed of the resamples.
        min_per_class: With fewer subjects in a class nothing is estimable.

    Returns:
        One row a figure: ``figure``, ``value``, ``low``, ``high``, ``n``, ``n_positive``, ``reason``. What is undefined
        is nan, and ``reason`` says why; it is empty otherwise.

    Raises:
        ValueError: lengths differ, a label is not 0 or 1, a probability is nan or outside [0, 1], or an option is out
            of range.

    Example:
        >>> label, probability = [0, 1] * 20, np.linspace(0.1, 0.9, 40)
        >>> table = figures_of_merit(label, probability, n_resamples=20).set_index("figure")
        >>> table.loc["auroc", "value"].round(3), table.loc["brier", "value"].round(3)
        (np.float64(0.525), np.float64(0.296))
        >>> figures_of_merit([0, 0, 1], [0.1, 0.2, 0.3]).loc[0, "reason"]
        'not estimable: 1 positive and 2 negative subjects, at least 5 of each are needed'
    """
    is_positive = as_classes(label)
    risk = as_scores("probability", probability, len(is_positive))
    outside = (risk < 0) | (risk > 1)
    if outside.any():
        raise ValueError(
            f"a probability must be between 0 and 1, however: {int(outside.sum())} are not, first {risk[outside][0]}: "
            "give probabilities, not logits"
        )
    statistics: dict[str, Statistic] = {
        "auprc": average_precision,
        "balanced_accuracy": partial(balanced_accuracy, threshold=threshold),
        f"sensitivity_at_specificity_{specificity:g}": partial(sensitivity_at_specificity, specificity=specificity),
        "brier": brier_score,
        "calibration_intercept": calibration_intercept,
        "calibration_slope": calibration_slope,
        "ici": integrated_calibration_index,
        **{f"net_benefit_at_{risk_at:g}": partial(net_benefit, threshold=risk_at) for risk_at in net_benefit_at},
    }
    names = ["auroc", *statistics]
    n_positive = int(is_positive.sum())
    n_negative = len(is_positive) - n_positive
    if min(n_positive, n_negative) < min_per_class:
        found = f"{n_positive} positive and {n_negative} negative subjects"
        reason = f"{NOT_ESTIMABLE}: {found}, at least {min_per_class} of each are needed"
        nothing = Estimate(np.nan, np.nan, np.nan, len(is_positive), n_positive)
        return pd.DataFrame([_row(name, nothing, reason) for name in names])
    rows = [_row("auroc", auroc_interval(is_positive, risk, level))]
    for name, statistic in statistics.items():
        value = float(statistic(is_positive, risk, np.ones(len(risk))))
        low, high = np.nan, np.nan
        if np.isfinite(value):
            low, high = bootstrap_interval(
                statistic, is_positive, risk, level=level, n_resamples=n_resamples, seed=seed
            )
        rows.append(_row(name, Estimate(value, low, high, len(risk), n_positive)))
    return pd.DataFrame(rows)


def _row(name: str, estimate: Estimate, reason: str = "") -> dict[str, str | float | int]:
    if not reason and np.isnan(estimate.value):
        reason = f"{NOT_ESTIMABLE}: probabilities that separate the classes or do not differ have no finite fit"
    elif not reason and np.isnan(estimate.low):
        reason = f"interval {NOT_ESTIMABLE}: no variance, or undefined in more than 5 % of the resamples"
    return {
        "figure": name,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.n,
        "n_positive": estimate.n_positive,
        "reason": reason,
    }
