"""A sweep in figures: discrimination of every strategy by mechanism, rate and recovery."""

from typing import Any

import numpy as np
import pandas as pd

from dymo_med.evaluation.discrimination import Estimate, PairedDifference, auroc_interval, paired_auroc_test
from dymo_med.evaluation.figures import MIN_PER_CLASS, NOT_ESTIMABLE
from dymo_med.evaluation.inputs import check_predictions
from dymo_med.evaluation.multiplicity import holm
from dymo_med.utils import Strategy

__all__ = ["by_draw", "summarize_sweep"]

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]

KEYS = ("mechanism", "rate", "recovery")
CELL = ("mechanism", "rate", "seed", "recovery", "strategy")
REFERENCES = (Strategy.DISCARD, Strategy.FUSE_ALL)


def summarize_sweep(predictions: pd.DataFrame) -> pd.DataFrame:
    """Give the AUROC of every mechanism, rate, recovery and strategy, averaged over seeds, on the same subjects.

    Intervals and tests take the seeds as repeated predictions of the same subjects, not as more subjects.

    Args:
        predictions: What :func:`~dymo_med.evaluation.sweep.sweep` wrote. Subjects of whom nothing was left in some seed
            have no prediction there and are left out of that mechanism and rate for every strategy.

    Returns:
        One row a mechanism, rate, recovery and strategy: ``hidden_share`` (what was really hidden), ``n``,
        ``n_positive``, ``n_not_predicted``, ``auroc``, ``auroc_low``, ``auroc_high``, for each of discard and fuse_all
        ``over_<strategy>`` with ``_low``, ``_high``, ``_p`` and ``_p_holm`` (adjusted over the table), and ``reason``
        where a figure is not estimable.

    Raises:
        KeyError: a column is missing.
        ValueError: there is no row, or a subject occurs twice in a cell.
    """
    predicted = predictions.get("probability", pd.Series(dtype=float)).notna()
    check_predictions(predictions[predicted.reindex(predictions.index, fill_value=True)], ["subject_id", *CELL])
    rows = []
    for key, group in predictions.groupby(list(KEYS), sort=False, observed=True):
        draws, label, n_left_out = by_draw(group)
        share = float(group["hidden_share"].mean())
        for strategy, scores in draws.items():
            head = dict(zip(KEYS, key, strict=True)) | {"strategy": strategy, "hidden_share": share}
            rows.append(head | _figures(strategy, scores, draws, label) | {"n_not_predicted": n_left_out})
    table = pd.DataFrame(rows)
    for reference in REFERENCES:
        if f"over_{reference}_p" in table:
            table[f"over_{reference}_p_holm"] = holm(table[f"over_{reference}_p"])
    return table


def by_draw(
    group: pd.DataFrame,
) -> tuple[dict[str, FloatArray], IntArray, int]:
    """Arrange the predictions of one mechanism, rate and recovery by strategy and draw.

    Args:
        group: Rows of several seeds and strategies.

    Returns:
        Per strategy the probabilities (seeds, N) of the subjects that all seeds and strategies predict, their labels
        (N,), and how many other subjects there are.
    """
    wide = group.pivot_table(
        index="subject_id", columns=["strategy", "seed"], values="probability", dropna=False, observed=True, sort=False
    )
    complete = wide.dropna()
    label = group.drop_duplicates("subject_id").set_index("subject_id")["label"].reindex(complete.index)
    draws = {str(name): complete[name].to_numpy().T for name in dict.fromkeys(wide.columns.get_level_values(0))}
    return draws, label.to_numpy().astype(np.int64), len(wide) - len(complete)


def _figures(
    strategy: str,
    scores: FloatArray,
    draws: dict[str, FloatArray],
    label: IntArray,
) -> dict[str, float | int | str]:
    n_positive = int(label.sum())
    n_negative = len(label) - n_positive
    estimable = min(n_positive, n_negative) >= MIN_PER_CLASS
    found = f"{n_positive} positive and {n_negative} negative subjects"
    reason = "" if estimable else f"{NOT_ESTIMABLE}: {found}, at least {MIN_PER_CLASS} of each are needed"
    area = auroc_interval(label, scores) if estimable else Estimate(np.nan, np.nan, np.nan, len(label), n_positive)
    row: dict[str, float | int | str] = {
        "n": len(label),
        "n_positive": n_positive,
        "auroc": area.value,
        "auroc_low": area.low,
        "auroc_high": area.high,
        "reason": reason,
    }
    for reference in REFERENCES:
        gain = PairedDifference(np.nan, np.nan, np.nan, np.nan)
        if estimable and reference in draws and strategy != reference:
            gain = paired_auroc_test(label, scores, draws[reference])
        values = (gain.difference, gain.low, gain.high, gain.p_value)
        row |= {f"over_{reference}{end}": value for end, value in zip(("", "_low", "_high", "_p"), values, strict=True)}
    return row
