"""The grid of a sweep: what is hidden, how much of it, in which draw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dymo_med.missingness.patterns import MissingPattern, sample_missing_of
from dymo_med.utils import as_choice, check_fraction

__all__ = ["Cell", "Mechanism", "cells_of", "families_of", "hide", "usual_mechanisms"]

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Mechanism:
    """How gaps arise.

    Args:
        modality: Modality that loses something.
        pattern: ``"value"``, ``"column"``, ``"block"`` or ``"ranked"`` hide cells of a table, ``"table"`` a modality as
            a whole; see :class:`~dymo_med.missingness.patterns.MissingPattern`.
        families: Pattern ``"block"`` only: column indices by family, such as a device or a questionnaire.
        order: Pattern ``"ranked"`` only: all column indices, the first to be hidden first.

    Raises:
        ValueError: the pattern is unknown.

    Example:
        >>> Mechanism("table", "value").hides_whole
        False
    """

    modality: str
    pattern: str
    families: Mapping[str, Sequence[int]] | None = None
    order: Sequence[int] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", as_choice("pattern", self.pattern, MissingPattern))

    @property
    def hides_whole(self) -> bool:
        """Whether the modality goes as a whole, never in part."""
        return self.pattern == MissingPattern.TABLE

    def to_record(self) -> dict[str, Any]:
        """Give plain values for JSON."""
        families = None if self.families is None else {name: list(columns) for name, columns in self.families.items()}
        order = None if self.order is None else list(self.order)
        return {"modality": self.modality, "pattern": str(self.pattern), "families": families, "order": order}


@dataclass(frozen=True)
class Cell:
    """One missing pattern of a sweep.

    Args:
        mechanism: Name of the mechanism.
        rate: Requested missing rate in [0, 1].
        seed: Seed of the draw.

    Example:
        >>> Cell("random value", 0.5, 1).rate
        0.5
    """

    mechanism: str
    rate: float
    seed: int


def cells_of(mechanisms: Mapping[str, Mechanism], rates: Sequence[float], seeds: Sequence[int]) -> list[Cell]:
    """List every combination of mechanism, rate and seed.

    Args:
        mechanisms: By name.
        rates: Missing rates in [0, 1], each once.
        seeds: Seeds, each once.

    Raises:
        ValueError: a list is empty or repeats an entry, or a rate is out of range.

    Example:
        >>> len(cells_of({"random value": Mechanism("table", "value")}, [0, 0.5], [1, 2, 3]))
        6
    """
    for name, values in (("mechanisms", list(mechanisms)), ("rates", list(rates)), ("seeds", list(seeds))):
        if not values or len(set(values)) < len(values):
            raise ValueError(f"{name} of a sweep must be one or more, each once, however: {name}={values}")
    for rate in rates:
        check_fraction("rate", rate)
    return [Cell(name, float(rate), seed) for name, rate, seed in product(mechanisms, rates, seeds)]


def usual_mechanisms(
    importance: Sequence[int], families: Mapping[str, Sequence[int]], *, table: str = "table", image: str = "image"
) -> dict[str, Mechanism]:
    """Name the mechanisms that a sweep of an image and a table goes through.

    Args:
        importance: Column indices of the table, the most important first
            (:func:`~dymo_med.evaluation.importance.rank_columns` on validation subjects).
        families: Column indices by family; none leaves that mechanism out.
        table: Name of the table.
        image: Name of the image.

    Example:
        >>> list(usual_mechanisms([1, 0], {}))[:3]
        ['random value', 'random column', 'most important columns']
    """
    order = list(importance)
    mechanisms = {
        "random value": Mechanism(table, "value"),
        "random column": Mechanism(table, "column"),
        "most important columns": Mechanism(table, "ranked", order=order),
        "least important columns": Mechanism(table, "ranked", order=order[::-1]),
        "device or questionnaire": Mechanism(table, "block", families=families),
        "whole table": Mechanism(table, "table"),
        "whole image": Mechanism(image, "table"),
    }
    return mechanisms if families else {name: each for name, each in mechanisms.items() if each.families is None}


def families_of(names: Sequence[str], family_of: Mapping[str, str]) -> dict[str, list[int]]:
    """Group the columns of a table by family.

    Args:
        names: Column names in schema order.
        family_of: Family by column name; columns without one are in none.

    Example:
        >>> families_of(["sex", "pulse", "age"], {"sex": "demographics", "age": "demographics"})
        {'demographics': [0, 2]}
    """
    families: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        if name in family_of:
            families.setdefault(family_of[name], []).append(index)
    return families


def hide(cell: Cell, mechanism: Mechanism, subject_ids: Sequence[str], missing: BoolArray) -> BoolArray:
    """Hide parts of a modality of several subjects; each draw depends on seed, modality and subject alone.

    Args:
        cell: Rate and seed.
        mechanism: What hides.
        subject_ids: Pseudonyms, B.
        missing: (B, P) natural gaps, True = absent.

    Returns:
        (B, P) gaps, natural ones included.

    Example:
        >>> none = np.zeros((2, 4), dtype=bool)
        >>> hide(Cell("half", 0.5, 0), Mechanism("table", "value"), ["a", "b"], none).sum(axis=1).tolist()
        [2, 2]
    """
    rows = [
        sample_missing_of(
            subject,
            gaps,
            key=mechanism.modality,
            pattern=mechanism.pattern,
            rate=cell.rate,
            seed=cell.seed,
            families=mechanism.families,
            order=mechanism.order,
        )
        for subject, gaps in zip(subject_ids, missing, strict=True)
    ]
    return np.stack(rows)
