"""What the columns of a clinical table are: names, kinds, categories, units, sources and training statistics."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Column"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One clinical variable.

    Args:
        name: Stable name, used as the column title of every table of this project ("systolic_blood_pressure_mmhg").
        kind: ``"categorical"`` or ``"continuous"``.
        title: Title for people; defaults to the name.
        categories: Categorical columns: every level that the coding knows, in order of its index. Empty for continuous.
        unit: Continuous columns: physical unit ("mmHg"), empty if there is none.
        low: Smallest plausible value (inclusive), None for no bound; values outside count as missing.
        high: Largest plausible value (inclusive), None for no bound.
        source: Where the value comes from ("UK Biobank field 4080, mean of readings at the visit").
        mean: Training mean of a continuous column, None before fitting.
        std: Training standard deviation (n - 1) of a continuous column, None before fitting.
    """

    name: str
    kind: Literal["categorical", "continuous"]
    title: str = ""
    categories: tuple[str, ...] = ()
    unit: str = ""
    low: float | None = None
    high: float | None = None
    source: str = ""
    mean: float | None = None
    std: float | None = None
