"""One clinical variable: name, kind, categories, unit, plausible range, source and training statistics."""

import math
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
        mean: Training mean of a continuous column in its unit, None before fitting.
        std: Training standard deviation (n - 1) of a continuous column in its unit, None before fitting.

    Raises:
        TypeError: a field has another type than the signature says.
        ValueError: the fields contradict each other; the text names column and value.

    Example:
        >>> Column(name="sex", kind="categorical", categories=("female", "male")).title
        'sex'
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

    def __post_init__(self) -> None:
        self._check_texts()
        self._check_numbers()
        if self.kind == "categorical":
            self._check_categorical()
        elif self.kind == "continuous":
            self._check_continuous()
        else:
            raise ValueError(
                f"kind must be 'categorical' or 'continuous', however: kind={self.kind!r} in column {self.name!r}"
            )
        if not self.title:
            object.__setattr__(self, "title", self.name)

    @property
    def statistics(self) -> tuple[float, float]:
        """Training mean and standard deviation of a fitted continuous column, in its unit.

        Raises:
            ValueError: the column has none.

        Example:
            >>> Column(name="age_years", kind="continuous", mean=60, std=8).statistics
            (60.0, 8.0)
        """
        if self.mean is None or self.std is None:
            raise ValueError(
                f"mean and std must be known, however: none in {self.kind} column {self.name!r}: "
                "use TabularSchema.fit on continuous columns"
            )
        return self.mean, self.std

    def _check_texts(self) -> None:
        for field in ("name", "title", "unit", "source"):
            value = getattr(self, field)
            if not isinstance(value, str):
                raise TypeError(f"{field} must be text, however: {field}={value!r} in column {self.name!r}")
        if not self.name or self.name != self.name.strip():
            raise ValueError(f"name must be text without blanks around it, however: name={self.name!r}")

    def _check_numbers(self) -> None:
        for field in ("low", "high", "mean", "std"):
            value = getattr(self, field)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{field} must be a number or None, however: {field}={value!r} in column {self.name!r}")
            if not math.isfinite(value):
                raise ValueError(f"{field} must be finite, however: {field}={value!r} in column {self.name!r}")
            object.__setattr__(self, field, float(value))

    def _check_categorical(self) -> None:
        levels = self.categories
        if not isinstance(levels, tuple) or not all(isinstance(level, str) and level for level in levels):
            raise TypeError(
                f"categories must be a tuple of non-empty texts, however: categories={levels!r} in column {self.name!r}"
            )
        if not levels or len(set(levels)) != len(levels):
            raise ValueError(
                f"categories must name every level once and at least one, however: categories={levels!r} "
                f"in column {self.name!r}"
            )
        numeric = {name: getattr(self, name) for name in ("low", "high", "mean", "std")}
        given = {name: value for name, value in numeric.items() if value is not None}
        if given:
            raise ValueError(f"a categorical column has no numbers, however: {given} in column {self.name!r}")

    def _check_continuous(self) -> None:
        if self.categories:
            raise ValueError(
                f"a continuous column has no categories, however: categories={self.categories!r} "
                f"in column {self.name!r}"
            )
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(
                f"low must be below high, however: low={self.low}, high={self.high} in column {self.name!r}"
            )
        if (self.mean is None) != (self.std is None):
            raise ValueError(
                f"mean and std come together, however: mean={self.mean}, std={self.std} in column {self.name!r}"
            )
        if self.std is not None and self.std <= 0:
            raise ValueError(f"std must be positive, however: std={self.std} in column {self.name!r}")
