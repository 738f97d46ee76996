"""Fitting of probability calibration on validation subjects, and what it changes."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.isotonic import IsotonicRegression

from dymo_med.evaluation.calibration import log_odds
from dymo_med.evaluation.figures import figures_of_merit
from dymo_med.evaluation.inputs import as_classes, as_scores
from dymo_med.evaluation.logistic import fit_logistic
from dymo_med.networks.calibration import Calibration, IsotonicCalibration, PlattScaling, TemperatureScaling

__all__ = ["apply_calibration", "compare_calibrations", "fit_isotonic", "fit_platt", "fit_temperature"]

SHOWN = ("auroc", "brier", "calibration_intercept", "calibration_slope", "ici")


def fit_temperature(label: ArrayLike, probability: ArrayLike) -> TemperatureScaling:
    """Find the temperature of highest likelihood.

    Args:
        label: (N,) 0 or 1 of validation subjects; never of those the result is reported on.
        probability: (N,) predicted probability of class 1.

    Raises:
        ValueError: input is faulty, or there is no finite positive temperature.

    Example:
        >>> label = [0, 0, 0, 1, 0, 1, 1, 1]
        >>> fit_temperature(label, [0.01] * 4 + [0.99] * 4).temperature > 1  # a quarter is wrong: too sure
        True
    """
    is_positive, risk = _checked(label, probability)
    slope = float(fit_logistic(log_odds(risk)[:, None], is_positive)[0])
    _check_slope(slope, is_positive)
    return TemperatureScaling(1 / slope)


def fit_platt(label: ArrayLike, probability: ArrayLike) -> PlattScaling:
    """Find slope and intercept of the log odds of highest likelihood.

    Args:
        label: (N,) 0 or 1 of validation subjects.
        probability: (N,) predicted probability of class 1.

    Raises:
        ValueError: input is faulty, or there is no finite positive slope.

    Example:
        >>> scaling = fit_platt([0, 0, 0, 1, 0, 1, 1, 1], [0.01] * 4 + [0.99] * 4)
        >>> round(scaling.slope, 3), round(abs(scaling.intercept), 3)
        (0.239, 0.0)
    """
    is_positive, risk = _checked(label, probability)
    x = log_odds(risk)
    intercept, slope = fit_logistic(np.stack([np.ones_like(x), x], axis=1), is_positive).tolist()
    _check_slope(slope, is_positive)
    return PlattScaling(slope, intercept)


def fit_isotonic(label: ArrayLike, probability: ArrayLike) -> IsotonicCalibration:
    """Find the rising curve of least squared error; it needs some hundred events not to follow chance.

    Ends at 0 or 1 are drawn in to ``1 / (N + 2)``: N subjects cannot show that a risk is nil.

    Args:
        label: (N,) 0 or 1 of validation subjects.
        probability: (N,) predicted probability of class 1.

    Raises:
        ValueError: input is faulty, or all probabilities are equal.

    Example:
        >>> fit_isotonic([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4]).calibrated
        (0.16666666666666666, 0.5, 0.5, 0.8333333333333334)
    """
    is_positive, risk = _checked(label, probability)
    if len(np.unique(risk)) < 2:
        raise ValueError(f"an isotonic curve needs different probabilities, however: all {len(risk)} are {risk[0]}")
    fitted = IsotonicRegression(out_of_bounds="clip").fit(risk, is_positive.astype(np.float64))
    margin = 1 / (len(risk) + 2)
    calibrated = np.clip(fitted.y_thresholds_, margin, 1 - margin)
    return IsotonicCalibration(tuple(fitted.X_thresholds_.tolist()), tuple(calibrated.tolist()))


def apply_calibration(calibration: Calibration, probability: ArrayLike) -> NDArray[np.float64]:
    """Calibrate probabilities of two classes that stand in a table.

    Args:
        calibration: The steps.
        probability: (N,) predicted probability of class 1.

    Returns:
        Calibrated probabilities (N,).

    Raises:
        ValueError: a probability is nan.

    Example:
        >>> apply_calibration(Calibration((PlattScaling(1.0, 0.0),)), [0.25]).round(6).tolist()
        [0.25]
    """
    values = np.asarray(probability, dtype=np.float64)
    x = torch.from_numpy(log_odds(as_scores("probability", values, len(values))))
    calibrated = torch.softmax(calibration(torch.stack([torch.zeros_like(x), x], dim=1)), dim=1)[:, 1]
    return np.asarray(calibrated.numpy())


def compare_calibrations(
    label: ArrayLike, probability: ArrayLike, calibrations: Mapping[str, Calibration], *, seed: int = 0
) -> pd.DataFrame:
    """Show what calibrations do on subjects that they were not fitted on.

    Args:
        label: (N,) 0 or 1 of test subjects.
        probability: (N,) predicted probability of class 1, before calibration.
        calibrations: By name what to compare; predictions as they are come first, as ``"before"``.
        seed: Seed of the bootstrap.

    Returns:
        Columns ``calibration`` and those of :func:`~dymo_med.evaluation.figures.figures_of_merit`, for the AUROC (which
        temperature and Platt scaling leave as it is), Brier score, calibration intercept, slope and ICI.

    Raises:
        ValueError: input is faulty.

    Example:
        >>> label, probability = [0, 1] * 10, [0.1] * 10 + [0.9] * 10
        >>> table = compare_calibrations(label, probability, {"platt": Calibration((PlattScaling(0.01, 0.0),))})
        >>> table[table["figure"] == "brier"]["value"].round(2).tolist()
        [0.41, 0.25]
    """
    risk = as_scores("probability", probability, len(np.asarray(label)))
    tables = []
    for name, calibration in {"before": Calibration(), **calibrations}.items():
        figures = figures_of_merit(label, apply_calibration(calibration, risk), seed=seed)
        figures.insert(0, "calibration", name)
        tables.append(figures[figures["figure"].isin(SHOWN)])
    return pd.concat(tables, ignore_index=True)


def _checked(label: ArrayLike, probability: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    is_positive = as_classes(label)
    risk = as_scores("probability", probability, len(is_positive))
    n_positive = int(is_positive.sum())
    if not 0 < n_positive < len(is_positive):
        raise ValueError(
            f"calibration needs validation subjects of both classes, however: {n_positive} of {len(is_positive)} are "
            "positive; use a larger validation set"
        )
    return is_positive, risk


def _check_slope(slope: float, is_positive: NDArray[np.bool_]) -> None:
    if not slope > 0:
        raise ValueError(
            f"calibration needs log odds that rise with the outcome and do not separate it, however: slope={slope:.3g} "
            f"over {len(is_positive)} subjects; check the labels, or use more validation subjects"
        )
