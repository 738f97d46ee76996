"""Figures in words: values with intervals, p values, and what may not be told."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dymo_med.evaluation.report.suppression import HIDDEN
from dymo_med.tabular import Column, TabularSchema
from dymo_med.utils import check_positive_int

__all__ = ["Disclosure", "column_title", "estimate", "figure_title", "number", "p_value", "titled", "withheld_or"]

NOT_ESTIMABLE = "not estimable"
_TITLES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "balanced_accuracy": "balanced accuracy",
    "brier": "Brier score",
    "calibration_intercept": "calibration intercept",
    "calibration_slope": "calibration slope",
    "ici": "ICI",
}


@dataclass(frozen=True)
class Disclosure:
    """What of a count may be told.

    Args:
        min_count: Smallest count to show; 1 shows all.
        hides_all: Whether every count, and what depends on it, is withheld.
        hides_sizes: Whether numbers of subjects are withheld, not what is estimated from them.

    Raises:
        ValueError: ``min_count`` is not a positive integer.

    Example:
        >>> Disclosure(10).hides(0, 3), Disclosure(10).hides(0, 30), Disclosure(10).hides_share(0.97, 100)
        (True, False, True)
    """

    min_count: int
    hides_all: bool = False
    hides_sizes: bool = False

    def __post_init__(self) -> None:
        check_positive_int("min_count", self.min_count)

    def hides(self, *counts: float) -> bool:
        """Tell whether one of the counts, or an unknown one, is too small to be told."""
        small = self.min_count > 1 and any(pd.isna(count) or 0 < round(count) < self.min_count for count in counts)
        return self.hides_all or small

    def hides_classes(self, n: Iterable[float], n_positive: Iterable[float]) -> NDArray[np.bool_]:
        """Tell, row by row, whether one of the two classes is too small to be told."""
        pairs = zip(n, n_positive, strict=True)
        return np.array([self.hides(events, total - events) for total, events in pairs], dtype=np.bool_)

    def hides_share(self, share: float, n: float) -> bool:
        """Tell whether a share of ``n`` would tell too small a count, of those in it or of the others."""
        return self.min_count > 1 and (pd.isna(share) or self.hides(share * n, n - share * n))


def number(value: Any, digits: int = 3) -> str:
    """Give a number, or say that it is not estimable.

    Example:
        >>> number(0.12345), number(float("nan")), number(-0.00001)
        ('0.123', 'not estimable', '0.000')
    """
    return NOT_ESTIMABLE if pd.isna(value) else f"{round(value, digits) + 0.0:.{digits}f}"


def estimate(row: Any, value: str = "value", *, between: str = "\n", digits: int = 3) -> str:
    """Give a value with its 95 % interval.

    Args:
        row: Row of a table or mapping with ``value``, ``low`` and ``high``, or with ``<value>``, ``<value>_low`` and
            ``<value>_high``.
        value: Name of the value.
        between: What stands between value and interval.
        digits: Decimals.

    Example:
        >>> estimate({"value": 0.7, "low": 0.6, "high": 0.8}, between=" ")
        '0.700 (0.600 to 0.800)'
        >>> estimate({"auroc": 0.7, "auroc_low": float("nan"), "auroc_high": float("nan")}, "auroc", between=" ")
        '0.700 (no interval)'
    """
    low, high = ("low", "high") if value == "value" else (f"{value}_low", f"{value}_high")
    if pd.isna(row[value]):
        return NOT_ESTIMABLE
    if pd.isna(row[low]):
        return f"{number(row[value], digits)}{between}(no interval)"
    return f"{number(row[value], digits)}{between}({number(row[low], digits)} to {number(row[high], digits)})"


def p_value(value: Any) -> str:
    """Give a p value.

    Example:
        >>> p_value(0.0312), p_value(0.00001), p_value(float("nan"))
        ('0.031', '<0.001', '–')
    """
    if pd.isna(value):
        return "–"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def figure_title(name: str) -> str:
    """Give a figure of merit its title.

    Example:
        >>> figure_title("auroc"), figure_title("sensitivity_at_specificity_0.9"), figure_title("net_benefit_at_0.1")
        ('AUROC', 'sensitivity at specificity 0.9', 'net benefit at 0.1')
    """
    return _TITLES.get(name, name.replace("_", " "))


def column_title(column: Column) -> str:
    """Give the title of a column with its unit.

    Example:
        >>> column_title(Column(name="bmi", kind="continuous", unit="kg/m2", title="Body mass index"))
        'Body mass index (kg/m²)'
    """
    return f"{column.title} ({_typeset(column.unit)})" if column.unit else column.title


def _typeset(unit: str) -> str:
    return re.sub(r"(?<=m)2\b", "²", unit)


def titled(text: str, schema: TabularSchema) -> str:
    """Put titles with their units in the place of names of columns; other names lose their underscores.

    Args:
        text: Text with names of columns.
        schema: Knows their titles.

    Example:
        >>> from dymo_med.tabular import Column
        >>> age = Column(name="age_years", kind="continuous", unit="years", title="Age", mean=60.0, std=8.0)
        >>> titled("age_years and blood_group", TabularSchema([age]))
        'age (years) and blood group'
    """
    titles = {}
    for column in schema.columns:
        title = column.title[:1].lower() + column.title[1:] if column.title[1:2].islower() else column.title
        titles[column.name] = f"{title} ({_typeset(column.unit)})" if column.unit else title
    return re.sub(r"\w+", lambda match: titles.get(match[0], match[0].replace("_", " ")), text)


def withheld_or(text: str, *, is_hidden: bool) -> str:
    """Give a text, or the mark of what is withheld.

    Example:
        >>> withheld_or("0.7", is_hidden=False), withheld_or("0.7", is_hidden=True)
        ('0.7', 'withheld')
    """
    return HIDDEN if is_hidden else text
